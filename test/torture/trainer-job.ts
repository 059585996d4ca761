import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { TrainerEvent } from '../../core/generated/simmer/trainer/v1/trainer.js';
import type { Hyperparameters, TrainingRequest } from '../../core/trainer/trainer.js';
import { TorturedTrainer, type TrainerFactory } from './trainer-process.js';

const totalSteps = 40;
const checkpointEverySteps = 4;

const full: Hyperparameters = {
  method: 'full',
  learningRate: 1e-3,
  epochs: 1,
  maxSteps: totalSteps,
  globalBatchSize: 4,
  // Two passes a step: gradients are accumulated.
  deviceBatchSize: 2,
  warmupRatio: 0.1,
  schedule: 'cosine',
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-8,
  weightDecay: 1e-4,
  maxGradientNorm: 1,
  precision: 'float32',
  maxSequenceLength: 128,
  maxTruncatedShare: 0,
  packing: false,
  gradientCheckpointing: false,
  seed: 7,
  checkpointEverySteps,
  checkpointsKept: 2,
  logEverySteps: 1,
  evaluateEverySteps: 0,
};

/** The jobs that are tortured, by turns. Both draw random numbers in every step. */
export const jobs: Readonly<Record<string, Hyperparameters>> = {
  full,
  lora: { ...full, method: 'lora', lora: { rank: 4, alpha: 8, dropout: 0.1, targetModules: [] }, learningRate: 1e-2 },
};

const randomModel = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  attention_dropout: 0.1,
  tie_word_embeddings: true,
};

export function trainingRequest(dataFile: string, hyperparameters: Hyperparameters): TrainingRequest {
  return { model: { kind: 'random', config: randomModel, seed: 3 }, trainingData: dataFile, hyperparameters };
}

/** Rows of different lengths, in a number that the batches do not divide: each epoch ends in a short step. */
export async function writeTrainingRows(file: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(
    `COPY (SELECT 'What is ' || i || ' and ' || repeat('.', i % 7) || '?' AS prompt, 'It is ' || (2 * i) AS completion
           FROM range(30) t(i)) TO '${file}' (FORMAT parquet)`,
  );
  connection.closeSync();
  instance.closeSync();
}

/** What an undisturbed run comes to, by which the tortured ones are judged. */
export interface Reference {
  readonly losses: ReadonlyMap<number, number | undefined>;
  readonly modelDigest: string;
  /** Digest of the weights in the checkpoint of each step that has one. */
  readonly checkpointDigests: ReadonlyMap<number, string>;
}

/** Trains each job once, from its first step to its last, in one ordinary process. */
export async function trainUndisturbed(
  factory: TrainerFactory,
  folder: string,
  dataFile: string,
): Promise<ReadonlyMap<string, Reference>> {
  const references = new Map<string, Reference>();
  const trainer = await TorturedTrainer.start(factory, folder, 'program');
  for (const [job, hyperparameters] of Object.entries(jobs)) {
    const outputFolder = join(folder, job);
    await mkdir(outputFolder);
    const request = trainingRequest(dataFile, { ...hyperparameters, checkpointsKept: 0 });
    await trainer.client.startTraining(request, { attemptId: job, jobId: job, ordinal: 1, outputFolder });
    const losses = new Map<number, number | undefined>();
    const checkpointDigests = new Map<number, string>();
    let end: TrainerEvent['event'];
    for await (const batch of trainer.client.watch(job, 0)) {
      for (const { event } of batch) {
        if (event?.$case === 'stepLogged') losses.set(event.value.step, event.value.loss);
        if (event?.$case === 'checkpointSaved') {
          checkpointDigests.set(event.value.step, await weightsDigest(event.value.path));
        }
        end = event;
      }
    }
    if (end?.$case !== 'trainingCompleted') throw new Error(`undisturbed training ended with ${JSON.stringify(end)}`);
    references.set(job, { losses, checkpointDigests, modelDigest: await weightsDigest(end.value.modelFolder) });
  }
  await trainer.kill();
  return references;
}

/** SHA-256 of the weights in a model's folder, or an adapter's. */
export async function weightsDigest(folder: string): Promise<string> {
  for (const name of ['model.safetensors', 'adapter_model.safetensors']) {
    const content = await readFile(join(folder, name)).catch(() => undefined);
    if (content !== undefined) return createHash('sha256').update(content).digest('hex');
  }
  throw new Error(`${folder} has no weights`);
}

/** Steps between checkpoints, and in all. */
export const jobSteps = { total: totalSteps, betweenCheckpoints: checkpointEverySteps } as const;
