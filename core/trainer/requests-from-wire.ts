import type { Hyperparameters as HyperparametersMessage } from '../generated/simmer/trainer/v1/trainer.js';
import { present } from '../present.js';
import type { Hyperparameters } from './trainer.js';
import { methods, precisions, schedules } from './wire-enums.js';

/** Where Train is asked for by somebody else than a stage of this process. The inverse of `toHyperparametersMessage`. */
export function toHyperparameters(from: HyperparametersMessage): Hyperparameters {
  const { method, schedule, precision, seed, maxTruncatedShare = 1, logEverySteps, ...rest } = from;
  return {
    ...present({ ...rest, precision: precisions.name(precision) }),
    method: methods.name(method) ?? 'full',
    schedule: schedules.name(schedule) ?? 'cosine',
    seed: Number(seed),
    maxTruncatedShare,
    logEverySteps: Math.max(1, logEverySteps),
  };
}
