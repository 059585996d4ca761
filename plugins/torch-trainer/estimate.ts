import type { Advice, EstimatePlace, Facts, MemoryPart, TrainerJob, WorkEstimate } from 'simmerkit';
import { generationEstimate } from './generation-estimate.js';
import { largerHardware, usableShare } from './larger-hardware.js';
import { type ModelShape, shapeOf } from './model-shape.js';
import { type MemoryWork, trainingMemory } from './training-memory.js';
import { longestOf, passSeconds } from './training-time.js';

type TrainingJob = Extract<TrainerJob, { kind: 'training' }>;

/** Spread of lengths where nothing is known: that of the solutions of GSM8K is 0.39. */
const usualSpread = 0.4;
/** Starting processes and libraries, in seconds. */
const startSeconds = 60;
/** At which models are read and checkpoints written by one machine, in bytes a second. */
const diskBandwidth = 2e9;

/** What a job of the torch trainer takes; see docs/estimates.md. */
export function estimateJob(job: TrainerJob, place: EstimatePlace): WorkEstimate {
  const shape = shapeOf(job.model.config);
  if (shape === undefined) {
    return { notes: ['The sizes of the model are not known before it is there.'] };
  }
  if (place.hardware === undefined) {
    return { notes: ['No `hardware` is named: not in the resources of the trainer, nor in the settings.'] };
  }
  const known = { ...place, hardware: place.hardware };
  return job.kind === 'training' ? trainingEstimate(job, shape, known) : generationEstimate(job, shape, known);
}

/** What of a job its time and memory follow from. */
interface Training {
  readonly job: TrainingJob;
  readonly shape: ModelShape;
  readonly precision: 'float32' | 'bfloat16';
  readonly perDevice: number;
  /** Longest row of all, and of those that are computed at the same time. */
  readonly longest: number;
  readonly longestAtOnce: number;
}

type KnownPlace = Required<EstimatePlace>;

function trainingEstimate(job: TrainingJob, shape: ModelShape, place: KnownPlace): WorkEstimate {
  const training = read(job, shape, place);
  const memory = memoryOf(training, {}, place);
  const notes: string[] = [];
  const { rows, mean } = lengthsOf(job.data);
  if (mean === undefined) {
    notes.push(
      'How long the rows are is not known before they are there: say it with `expect: { dataset: { rows, tokensPerRow } }`.',
    );
  } else if (!job.hyperparameters.packing) {
    notes.push(`The longest row is taken for ${Math.round(training.longest).toLocaleString('en')} tokens.`);
  }
  return {
    ...(rows === undefined || mean === undefined ? {} : timeOf(training, rows, mean, place)),
    memory,
    advice: adviceOn(training, place),
    notes,
  };
}

function read(job: TrainingJob, shape: ModelShape, { gpus }: KnownPlace): Training {
  const { hyperparameters: given, data } = job;
  const devices = Math.max(1, gpus);
  const perDevice = given.deviceBatchSize ?? 1;
  const { rows, mean, spread } = lengthsOf(data);
  const limit = given.maxSequenceLength;
  const isKnown = mean !== undefined && !given.packing;
  const among = (count: number) => Math.min(limit, isKnown ? longestOf(count, mean, spread) : limit);
  return {
    job,
    shape,
    precision: given.precision ?? (gpus > 0 ? 'bfloat16' : 'float32'),
    perDevice,
    longest: among(rows ?? 1e6),
    longestAtOnce: among(perDevice * devices),
  };
}

function lengthsOf(data: Facts) {
  const number = (key: string) => (typeof data[key] === 'number' ? data[key] : undefined);
  return { rows: number('rows'), mean: number('tokensPerRow'), spread: number('lengthSpread') ?? usualSpread };
}

function timeOf(training: Training, rows: number, mean: number, place: KnownPlace): WorkEstimate {
  const { job, shape, precision, perDevice, longestAtOnce } = training;
  const { hyperparameters: given } = job;
  const devices = Math.max(1, place.gpus);
  const cut = Math.min(mean, given.maxSequenceLength);
  const sequences = given.packing ? Math.ceil((rows * cut) / given.maxSequenceLength) : rows;
  const steps = given.maxSteps ?? Math.ceil(Math.ceil(sequences / given.globalBatchSize) * given.epochs);
  const passes = Math.ceil(given.globalBatchSize / (perDevice * devices));
  const work = {
    sequenceLength: longestAtOnce,
    sequencesPerDevice: perDevice,
    recomputedShare: given.gradientCheckpointing ? 1 : 0,
    trainsAll: given.method === 'full',
  };
  const pass = passSeconds(shape, work, { ...place, gpus: devices, precision });
  if (pass === undefined) return { notes: ['The speed of this hardware is not known.'] };
  const stepSeconds = passes * pass;
  const weightsOnDisk = 2 * shape.parameters;
  const checkpoints = given.checkpointEverySteps === 0 ? 0 : Math.floor(steps / given.checkpointEverySteps);
  const checkpointBytes = given.method === 'full' ? 3 * weightBytesOf(training) * shape.parameters : 0;
  const disks = diskBandwidth * place.nodes;
  const time = [
    { part: 'start', seconds: startSeconds + weightsOnDisk / disks },
    { part: 'steps', seconds: steps * stepSeconds },
    {
      part: `${checkpoints} checkpoint${checkpoints === 1 ? '' : 's'}`,
      seconds: (checkpoints * checkpointBytes) / disks,
    },
    { part: 'writing the model', seconds: weightsOnDisk / disks },
  ];
  const tokensPerStep = given.packing ? given.globalBatchSize * given.maxSequenceLength : given.globalBatchSize * cut;
  const tokensPerSecond = tokensPerStep / stepSeconds;
  const peak = place.hardware[precision === 'bfloat16' ? 'bfloat16Flops' : 'float32Flops'] ?? Number.NaN;
  const operations = 6 * shape.parameters + 6 * shape.layers * shape.hiddenSize * longestAtOnce;
  return {
    seconds: time.reduce((sum, { seconds }) => sum + seconds, 0),
    time,
    ...(job.data.isAtMost === true ? { isAtMost: true } : {}),
    figures: {
      steps,
      secondsPerStep: stepSeconds,
      tokensPerSecondPerGpu: tokensPerSecond / devices,
      modelFlopsUtilization: (tokensPerSecond * operations) / (devices * peak),
    },
  };
}

type Change = Partial<MemoryWork>;

function weightBytesOf({ job, precision }: Training): number {
  return precision === 'bfloat16' && job.extensions?.weights === 'bfloat16' ? 2 : 4;
}

function memoryOf(training: Training, change: Change, place: KnownPlace): readonly MemoryPart[] {
  const { job, shape, precision, perDevice, longest } = training;
  const { hyperparameters: given } = job;
  return trainingMemory(shape, {
    method: given.method,
    loraRank: given.lora?.rank ?? 16,
    weightBytes: weightBytesOf(training),
    activationBytes: precision === 'bfloat16' ? 2 : 4,
    sequenceLength: longest,
    sequencesPerDevice: perDevice,
    recomputes: given.gradientCheckpointing,
    shards: Math.max(1, place.gpus),
    ...change,
  });
}

/** What would take less memory: what changes no result first, then more hardware, then what changes the result. */
function adviceOn(training: Training, place: KnownPlace): readonly Advice[] {
  const { job, perDevice, longest } = training;
  const { hyperparameters: given, extensions } = job;
  const advice: Advice[] = [];
  const suggest = (change: string, with_: Change) => {
    advice.push({ change, bytes: total(memoryOf(training, with_, place)) });
  };
  if (!given.gradientCheckpointing) suggest('gradientCheckpointing: true', { recomputes: true });
  if (perDevice > 1) suggest('deviceBatchSize: 1', { sequencesPerDevice: 1 });
  if (place.gpus > 0) {
    // The fewest that suffice, and where none do, the most.
    const counts = [2, 4, 8, 16, 32].map((times) => times * place.gpus);
    const gpus =
      counts.find((shards) => total(memoryOf(training, { shards }, place)) <= roomOf(place)) ?? counts.at(-1);
    suggest(`gpus: ${gpus}`, { shards: gpus ?? place.gpus });
    const has = place.hardware.memoryBytes ?? Number.POSITIVE_INFINITY;
    advice.push(...largerHardware(total(memoryOf(training, {}, place)), has));
  }
  if (training.precision === 'bfloat16' && extensions?.weights !== 'bfloat16') {
    suggest('extensions: { weights: bfloat16 }', { weightBytes: 2 });
  }
  const half = 2 ** Math.floor(Math.log2(longest - 1));
  suggest(`maxSequenceLength: ${half}`, { sequenceLength: half });
  if (given.method === 'full') suggest('method: lora', { method: 'lora' });
  if (given.method !== 'qlora') suggest('method: qlora', { method: 'qlora' });
  return advice;
}

function total(memory: readonly MemoryPart[]): number {
  return memory.reduce((sum, { bytes }) => sum + bytes, 0);
}

function roomOf({ hardware }: KnownPlace): number {
  return usableShare * (hardware.memoryBytes ?? Number.POSITIVE_INFINITY);
}
