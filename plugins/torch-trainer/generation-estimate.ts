import type { Advice, EstimatePlace, MemoryPart, TrainerJob, WorkEstimate } from 'simmerkit';
import type { ModelShape } from './model-shape.js';

type GenerationJob = Extract<TrainerJob, { kind: 'generation' }>;

/** Sequences decoded side by side at most, where the recipe does not say. */
const usualBatch = 32;
/** Share of the memory that the keys and values may fill. */
const usableShare = 0.9;
/** Share of the memory's bandwidth that decoding reaches. Assumed; no published run was held against it. */
const bandwidthShare = 0.5;
/** What a step of one layer takes to start, in seconds. Assumed, too. */
const layerSeconds = 60e-6;
const startSeconds = 60;
const contextBytes = 1.5e9;

/**
 * Decoding reads all weights, and the keys and values of every sequence, for each token of a batch. One accelerator does
 * it, however many the trainer holds. The time is the most that it can take: every answer as long as it may be.
 */
export function generationEstimate(
  job: GenerationJob,
  shape: ModelShape,
  { hardware, gpus }: Required<EstimatePlace>,
): WorkEstimate {
  const bytes = job.precision === 'float32' ? 4 : 2;
  const weights = bytes * shape.parameters;
  const perSequence = 2 * bytes * shape.layers * shape.keyValueSize * job.longestSequence;
  const room = usableShare * (hardware.memoryBytes ?? Number.POSITIVE_INFINITY) - weights;
  const fitting = Math.max(1, Math.floor(room / perSequence));
  const batch = Math.min(job.batchSize ?? Math.min(usualBatch, fitting), job.prompts ?? Number.POSITIVE_INFINITY);
  const memoryOf = (sequences: number): readonly MemoryPart[] => [
    { part: 'weights', bytes: weights },
    { part: 'keys and values', bytes: perSequence * sequences },
    { part: 'overhead', bytes: contextBytes },
  ];
  const memory = memoryOf(batch);
  const advice: Advice[] =
    batch > fitting
      ? [{ change: `batchSize: ${fitting}`, bytes: memoryOf(fitting).reduce((sum, part) => sum + part.bytes, 0) }]
      : [];
  const alone = gpus > 1 ? ['One GPU generates; a server behind budget-forcing/openai-compatible can use all.'] : [];
  const figures = { sequencesAtOnce: batch };
  if (job.prompts === undefined || hardware.memoryBandwidth === undefined) {
    const notes = [
      ...alone,
      'How many prompts there are is not known before they are there: `expect: { dataset: { rows } }`.',
    ];
    return { memory, advice, figures, notes };
  }
  // On average half of the keys and values are there.
  const read = (weights + (perSequence * batch) / 2) / (hardware.memoryBandwidth * bandwidthShare);
  const step = read + layerSeconds * shape.layers;
  const steps = Math.ceil(job.prompts / batch) * job.tokensPerPrompt;
  return {
    seconds: startSeconds + steps * step,
    isAtMost: true,
    memory,
    advice,
    figures: { ...figures, tokensPerSecond: batch / step },
    notes: [...alone, 'Every answer is taken for as long as it may be.'],
  };
}
