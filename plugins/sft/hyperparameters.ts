import type { Hyperparameters } from 'simmerkit';
import type { TrainOptions } from './options.js';

/** What the trainer is told of a stage's options. */
export function hyperparametersOf(options: TrainOptions, seed: number): Hyperparameters {
  const { trainer, extensions, lora, maxSteps, deviceBatchSize, precision, padToken, maxLossRise, ...always } = options;
  const adapter =
    lora ?? (options.method === 'full' ? undefined : { rank: 16, alpha: 32, dropout: 0, targetModules: [] });
  return {
    ...always,
    ...(adapter === undefined ? {} : { lora: adapter }),
    ...(maxSteps === undefined ? {} : { maxSteps }),
    ...(deviceBatchSize === undefined ? {} : { deviceBatchSize }),
    ...(precision === undefined ? {} : { precision }),
    ...(padToken === undefined ? {} : { padToken }),
    ...(maxLossRise === 0 ? {} : { maxLossRise }),
    seed,
  };
}

/** Those that bear on the weights: the same ones, of the same rows, make the same model. */
export function semanticOnly(hyperparameters: Hyperparameters): Partial<Hyperparameters> {
  const {
    checkpointEverySteps,
    checkpointEverySeconds,
    checkpointsKept,
    checkpointKeptEverySteps,
    logEverySteps,
    maxTruncatedShare,
    maxLossRise,
    ...semantic
  } = hyperparameters;
  return semantic;
}
