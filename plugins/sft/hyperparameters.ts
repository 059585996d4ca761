import type { Hyperparameters } from 'simmerkit';
import type { TrainOptions } from './options.js';

/** What the trainer is told of a stage's options. */
export function hyperparametersOf(options: TrainOptions, seed: number): Hyperparameters {
  const { trainer, extensions, lora, maxSteps, deviceBatchSize, precision, padToken, ...always } = options;
  const adapter =
    lora ?? (options.method === 'full' ? undefined : { rank: 16, alpha: 32, dropout: 0, targetModules: [] });
  return {
    ...always,
    ...(adapter === undefined ? {} : { lora: adapter }),
    ...(maxSteps === undefined ? {} : { maxSteps }),
    ...(deviceBatchSize === undefined ? {} : { deviceBatchSize }),
    ...(precision === undefined ? {} : { precision }),
    ...(padToken === undefined ? {} : { padToken }),
    seed,
  };
}
