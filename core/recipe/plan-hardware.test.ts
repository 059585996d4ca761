import { describe, expect, it } from 'vitest';
import type { Settings } from '../config/settings.js';
import { parseDocument } from '../document/document.js';
import { ProblemList } from '../document/problem-list.js';
import type { Resources } from '../plugin/resources.js';
import type { PlannedStage, PlannedTrainer } from './plan.js';
import { hardwareOfPlan } from './plan-hardware.js';

const hardware = { card: { usdPerGpuHour: 2, usdPerNodeHour: 1 }, box: { usdPerNodeHour: 0.4 } };

/** Hardware of a trainer, and of a stage, on a machine that the settings say to be of some kind. */
function placed(resources: Resources, machineHardware: string, gpus: number) {
  const settings: Partial<Settings> = { hardware, machineHardware, resources: { cpus: 4, memoryBytes: 8e9, gpus } };
  const plan = {
    trainers: [{ name: 'student', resources } as PlannedTrainer],
    stages: [{ name: 'pool', resources } as PlannedStage],
    budget: { usd: 3 },
  };
  const problems = new ProblemList(parseDocument('recipe.yaml', 'name: a', 'recipe'));
  const { trainers, stages } = hardwareOfPlan(plan, settings as Settings, problems);
  return [trainers[0]?.resources.hardware, stages[0]?.resources.hardware];
}

describe("what names no hardware has that of its machine's settings", () => {
  it('where it has GPUs', () => {
    expect(placed({ gpus: 2 }, 'card', 8)).toEqual(['card', 'card']);
    expect(placed({ gpus: 2, hardware: 'box' }, 'card', 8)).toEqual(['box', 'box']);
  });

  it('where it is a trainer, and the machine has no GPUs', () => {
    expect(placed({ cpus: 2 }, 'box', 0)).toEqual(['box', undefined]);
  });

  it('and not where it leaves the GPUs of the machine alone', () => {
    expect(placed({ cpus: 2 }, 'card', 8)).toEqual([undefined, undefined]);
  });
});
