import { scheduledStages } from '../engine/scheduled-stages.js';
import type { Capacity } from '../engine/scheduler.js';
import type { Plan } from '../recipe/plan.js';

/** The most that any stage takes that has work to do: with it, the run can always go on. */
export function claimOf(plan: Plan, done: ReadonlySet<string>): Capacity {
  const demands = scheduledStages(plan)
    .filter((stage) => !done.has(stage.name))
    .map((stage) => stage.demand);
  const most = (name: keyof Capacity) => Math.max(0, ...demands.map((demand) => demand[name]));
  return { cpus: most('cpus'), memoryBytes: most('memoryBytes'), gpus: most('gpus') };
}
