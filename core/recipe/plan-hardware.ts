import { builtInHardware, type HardwareTable, usdPerHour } from '../config/hardware.js';
import type { Settings } from '../config/settings.js';
import { suggestion } from '../document/nearest-name.js';
import type { Path } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import type { Resources } from '../plugin/resources.js';
import type { PlannedStage, PlannedTrainer } from './plan.js';

interface Placed {
  readonly trainers: readonly PlannedTrainer[];
  readonly stages: readonly PlannedStage[];
  readonly budget: { readonly usd?: number | undefined } | undefined;
}

/**
 * Gives accelerators that name no hardware that of this machine, and trainers, too, where this machine has no accelerators.
 * Finds the entries of all. Adds a problem for a name that is not there, and for accelerators without a price where dollars
 * are limited.
 */
export function hardwareOfPlan(plan: Placed, settings: Settings, problems: ProblemList) {
  const table: HardwareTable = settings.hardware ?? builtInHardware;
  const hardware: Record<string, HardwareTable[string]> = {};
  const place = (resources: Resources, path: Path, isOfMachine: boolean): Resources => {
    const name = resources.hardware ?? (isOfMachine ? settings.machineHardware : undefined);
    const entry = name === undefined ? undefined : table[name];
    if (name !== undefined && entry === undefined) {
      problems.add('unknown_hardware', `There is no hardware "${name}".`, [...path, 'hardware'], {
        hint: suggestion(name, Object.keys(table)),
      });
      return resources;
    }
    if (name !== undefined && entry !== undefined) hardware[name] = entry;
    if (plan.budget?.usd !== undefined && usdPerHour(entry, resources) === undefined) {
      const message = `Its ${resources.gpus} GPUs have no price, and \`budget.usd\` is set.`;
      problems.add('price_missing', message, path, {
        hint: 'Name them, e.g. `hardware: h100-sxm`, or give `hardware: {NAME: {usdPerGpuHour: ...}}` in simmer.config.yaml.',
      });
    }
    return name === undefined ? resources : { ...resources, hardware: name };
  };
  const trainers = plan.trainers.map((trainer) => {
    const isOfMachine = hasGpus(trainer.resources) || settings.resources.gpus === 0;
    return { ...trainer, resources: place(trainer.resources, ['trainers', trainer.name, 'resources'], isOfMachine) };
  });
  const stages = plan.stages.map((stage) => {
    const { name, resources } = stage;
    return { ...stage, resources: place(resources, ['stages', name, 'resources'], hasGpus(resources)) };
  });
  return { trainers, stages, hardware };
}

function hasGpus({ gpus = 0 }: Resources): boolean {
  return gpus > 0;
}
