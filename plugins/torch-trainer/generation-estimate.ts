import type { Advice, EstimatePlace, MemoryPart, TrainerJob, WorkEstimate } from 'simmerkit';
import { largerHardware, usableShare } from './larger-hardware.js';
import type { ModelShape } from './model-shape.js';

type GenerationJob = Extract<TrainerJob, { kind: 'generation' }>;

/** Sequences decoded side by side at most, and their share of the memory that weights leave: as decoder.py has them. */
const mostSequences = 512;
const cacheShare = 0.4;
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
  const has = hardware.memoryBytes ?? Number.POSITIVE_INFINITY;
  const sizes = sizesOf(job, shape);
  const { weights, perSequence } = sizes;
  const chosen = Math.floor((cacheShare * (has - weights - contextBytes)) / perSequence);
  const most = job.batchSize ?? Math.min(mostSequences, Math.max(1, chosen));
  const batch = Math.min(most, job.prompts ?? Number.POSITIVE_INFINITY);
  const memory = memoryOf(sizes, batch);
  const advice = adviceOn(job, shape, batch, has);
  const alone = gpus > 1 ? ['One GPU generates; an OpenAI-compatible server in its place can use all.'] : [];
  const figures = { sequencesAtOnce: batch };
  if (job.prompts === undefined || hardware.memoryBandwidth === undefined) {
    const unknown = 'How many prompts there are is not known before they are there: `expect: { dataset: { rows } }`.';
    return { memory, advice, figures, notes: [...alone, unknown] };
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

/** In bytes. */
interface Sizes {
  readonly weights: number;
  /** Keys and values of one. */
  readonly perSequence: number;
}

function sizesOf({ precision, longestSequence }: GenerationJob, shape: ModelShape): Sizes {
  const bytes = precision === 'float32' ? 4 : 2;
  return {
    weights: bytes * shape.parameters,
    perSequence: 2 * bytes * shape.attentionLayers * shape.keyValueSize * longestSequence,
  };
}

function memoryOf({ weights, perSequence }: Sizes, sequences: number): readonly MemoryPart[] {
  return [
    { part: 'weights', bytes: weights },
    { part: 'keys and values', bytes: perSequence * sequences },
    { part: 'overhead', bytes: contextBytes },
  ];
}

/** What changes no answer first, then what cuts them, then another place. */
function adviceOn(job: GenerationJob, shape: ModelShape, batch: number, has: number): readonly Advice[] {
  const bytesOf = (change: Partial<GenerationJob>, sequences: number) =>
    memoryOf(sizesOf({ ...job, ...change }, shape), sequences).reduce((sum, { bytes }) => sum + bytes, 0);
  const advice: Advice[] = [];
  const { weights, perSequence } = sizesOf(job, shape);
  const room = usableShare * has - weights - contextBytes;
  const fewer = Math.max(1, Math.floor(room / perSequence));
  if (fewer < batch) advice.push({ change: `maxBatchSize: ${fewer}`, bytes: bytesOf({}, fewer) });
  if (job.precision === 'float32') {
    advice.push({ change: 'precision: bfloat16', bytes: bytesOf({ precision: 'bfloat16' }, batch) });
  }
  const shorter = Math.floor((job.longestSequence * room) / perSequence);
  if (shorter > 0 && shorter < job.longestSequence) {
    const bytes = bytesOf({ longestSequence: shorter }, 1);
    advice.push({ change: `prompt and answer of ${shorter} tokens`, bytes });
  }
  return [...advice, ...largerHardware(bytesOf({}, fewer), has), { change: 'an OpenAI-compatible server', bytes: 0 }];
}
