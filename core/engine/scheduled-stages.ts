import { UserError } from '../errors.js';
import { formatCounted } from '../figures.js';
import type { Plan } from '../recipe/plan.js';
import { type Capacity, type ScheduledStage, totalDemand } from './scheduler.js';
import { stagesNeeded } from './stage-inputs.js';

/** The plan as the scheduler sees it. */
export function scheduledStages(plan: Plan): readonly ScheduledStage[] {
  return plan.stages.map((stage) => {
    const trainers = stage.trainers.map((name) => plan.trainers[name]?.resources ?? {});
    return {
      name: stage.name,
      dependsOn: stagesNeeded(stage),
      demand: totalDemand(stage.resources, trainers),
      exclusive: stage.trainers,
    };
  });
}

/** The stages that this machine can never run: GPUs, other than time on a core, cannot be shared out. */
export function beyondMachine(plan: Plan, machine: Capacity): readonly ScheduledStage[] {
  return scheduledStages(plan).filter((stage) => stage.demand.gpus > machine.gpus);
}

/** @throws UserError `not_enough_gpus` where stages are left that this machine can never run */
export function refuseBeyondMachine(stages: readonly ScheduledStage[], machine: Capacity): void {
  const largest = stages.toSorted((a, b) => b.demand.gpus - a.demand.gpus)[0];
  if (largest === undefined) return;
  const names = stages.map((stage) => `"${stage.name}"`).join(', ');
  throw new UserError(
    'not_enough_gpus',
    `Stage "${largest.name}" needs ${gpus(largest.demand.gpus)} on this machine, which has ${gpus(machine.gpus)}.`,
    {
      kind: 'environment',
      hint:
        `Stages with too few GPUs here: ${names}. Run it where those are, ` +
        'or lower `resources.gpus` of the stage or its trainer.',
    },
  );
}

function gpus(count: number): string {
  return count === 0 ? 'no GPUs' : formatCounted(count, 'GPU');
}
