import type { Hyperparameters, TrainerJob } from 'simmerkit';
import { knownConfig } from './known-models.js';

type TrainingJob = Extract<TrainerJob, { kind: 'training' }>;

/** The training of recipes/s1.yaml. */
export function s1Job(change: Partial<Hyperparameters> = {}): TrainingJob {
  return jobOf({ deviceBatchSize: 1, ...change });
}

/** The same, the rows of a pass left to the trainer. */
export function jobOf(change: Partial<Hyperparameters>): TrainingJob {
  const hyperparameters: Hyperparameters = {
    method: 'full',
    learningRate: 1e-5,
    epochs: 5,
    globalBatchSize: 16,
    warmupRatio: 0.05,
    schedule: 'cosine',
    adamBeta1: 0.9,
    adamBeta2: 0.95,
    adamEpsilon: 1e-8,
    weightDecay: 1e-4,
    maxGradientNorm: 1,
    precision: 'bfloat16',
    maxSequenceLength: 32_768,
    maxTruncatedShare: 0.05,
    packing: false,
    gradientCheckpointing: true,
    seed: 0,
    checkpointEverySteps: 0,
    checkpointsKept: 2,
    logEverySteps: 1,
    evaluateEverySteps: 0,
    ...change,
  };
  const config = knownConfig('Qwen/Qwen2.5-32B-Instruct') ?? {};
  return { kind: 'training', model: { config }, data: { rows: 1000, tokensPerRow: 4700 }, hyperparameters };
}
