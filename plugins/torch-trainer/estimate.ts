import {
  type Advice,
  type EstimatePlace,
  type Facts,
  formatCounted,
  type MemoryPart,
  type TimePart,
  type TrainerJob,
  type WorkEstimate,
} from 'simmerkit';
import { type Batching, batchingOf, type Lengths } from './batching.js';
import { keptScoreBytes } from './eager-attention.js';
import { generationEstimate } from './generation-estimate.js';
import { type ModelShape, shapeOf } from './model-shape.js';
import { isCounted } from './model-types.js';
import { trainingAdvice } from './training-advice.js';
import { trainingMemory } from './training-memory.js';
import { passSeconds } from './training-time.js';

type TrainingJob = Extract<TrainerJob, { kind: 'training' }>;

/** Spread of lengths where nothing is known: that of the solutions of GSM8K is 0.39. */
const usualSpread = 0.4;
/** Starting processes and libraries, in seconds. */
const startSeconds = 60;
/** At which models are read and checkpoints written by one machine, in bytes a second. */
const diskBandwidth = 2e9;
/** Of a pass forward and back, products, attention, traffic and gathered weights alike. */
const forwardShare = 1 / 3;

/** How fast a CPU is differs too much to be said beforehand. */
const onCpu =
  'How long it takes on a CPU is known only once it has run, with few rows too: `simmer plan` then has `last took`. For GPUs, ' +
  "name `gpus` and `hardware` in the trainer's resources.";

const languageModelOnly =
  'The estimate is that of the language model: what the model has for images and sound is loaded, too.';

/** What a job of the torch trainer takes; see docs/estimates.md. */
export function estimateJob(job: TrainerJob, place: EstimatePlace): WorkEstimate {
  const shape = shapeOf(job.model.config);
  if (shape === undefined) return { notes: [unknownSizes(job.model.config)] };
  if (place.gpus === 0) return { notes: [onCpu] };
  if (place.hardware === undefined) {
    return { notes: ['No `hardware` is named: not in the resources of the trainer, nor in the settings.'] };
  }
  const known = { ...place, hardware: place.hardware };
  const estimate =
    job.kind === 'training' ? trainingEstimate(job, shape, known) : generationEstimate(job, shape, known);
  const isWhole = Object(job.model.config).has_uncounted_parts !== true;
  return isWhole ? estimate : { ...estimate, notes: [...(estimate.notes ?? []), languageModelOnly] };
}

function unknownSizes(config: unknown): string {
  const { model_type: type } = Object(config) as Readonly<Record<string, unknown>>;
  if (config === undefined) return 'The sizes of the model are not known before it is there.';
  return isCounted(Object(config))
    ? 'The config of the model does not say all sizes that an estimate needs.'
    : `How large a model of the type ${type} is cannot be told from its config.`;
}

/** What of a job its time and memory follow from. */
interface Training {
  readonly job: TrainingJob;
  readonly shape: ModelShape;
  readonly precision: 'float32' | 'bfloat16';
  readonly batching: Batching;
}

type KnownPlace = Required<EstimatePlace>;

/** What of a model has no adapter where the recipe does not say what has one. */
function notesOnAdapter({ hyperparameters: { method, lora } }: TrainingJob, { mlps }: ModelShape): string[] {
  const plain = mlps.filter(({ areAdapted }) => !areAdapted);
  if (method === 'full' || (lora?.targetModules.length ?? 0) > 0 || plain.length === 0) return [];
  return [
    plain.some(({ areExperts }) => areExperts)
      ? 'An adapter is on no expert of this model, where PEFT puts none.'
      : 'An adapter is on no dense MLP and no shared expert of this model: PEFT puts one on its experts.',
  ];
}

function trainingEstimate(job: TrainingJob, shape: ModelShape, place: KnownPlace): WorkEstimate {
  const training = read(job, shape, place);
  const memory = memoryOf(training, place);
  const notes = notesOnAdapter(job, shape);
  const { rows, mean } = lengthsOf(job.data);
  if (mean === undefined) {
    notes.push(
      'How long the rows are is not known before they are there: say it with `expect: { dataset: { rows, tokensPerRow } }`.',
    );
  } else if (!job.hyperparameters.packing) {
    notes.push(`The longest row is taken for ${Math.round(training.batching.longest).toLocaleString('en')} tokens.`);
  }
  if (job.hyperparameters.evaluateEverySteps > 0 && lengthsOf(job.evaluation ?? {}).rows === undefined) {
    notes.push('How many rows `evaluation` has is not known before they are there: its time is not counted.');
  }
  return {
    ...(rows === undefined || mean === undefined ? {} : timeOf(training, rows, mean, place)),
    memory,
    advice: adviceOn(training, place),
    notes,
  };
}

function read(job: TrainingJob, shape: ModelShape, { gpus }: KnownPlace): Training {
  return {
    job,
    shape,
    precision: job.hyperparameters.precision ?? (gpus > 0 ? 'bfloat16' : 'float32'),
    batching: batchingOf(job.hyperparameters, lengthsOf(job.data), Math.max(1, gpus), gpus > 0),
  };
}

function lengthsOf(data: Facts): Lengths {
  const number = (key: string) => (typeof data[key] === 'number' ? data[key] : undefined);
  return { rows: number('rows'), mean: number('tokensPerRow'), spread: number('lengthSpread') ?? usualSpread };
}

function timeOf(training: Training, rows: number, mean: number, place: KnownPlace): WorkEstimate {
  const { job, shape, precision, batching } = training;
  const { hyperparameters: given } = job;
  const devices = Math.max(1, place.gpus);
  const cut = Math.min(mean, given.maxSequenceLength);
  const steps = given.maxSteps ?? Math.ceil(Math.ceil(rows / given.globalBatchSize) * given.epochs);
  const work = {
    sequenceLength: batching.sequenceLength,
    sequencesPerDevice: batching.sequences,
    recomputedShare: given.gradientCheckpointing ? 1 : 0,
    trainsAll: given.method === 'full',
  };
  const pass = passSeconds(shape, work, { ...place, gpus: devices, precision });
  if (pass === undefined) return { notes: ['The speed of this hardware is not known.'] };
  const stepSeconds = batching.passes * pass;
  const weightsOnDisk = 2 * shape.parameters;
  // Any evaluation may be the best until then.
  const evaluates = given.keepBest === true && given.evaluateEverySteps > 0;
  const checkpoints = timesIn(steps, given.checkpointEverySteps, evaluates ? given.evaluateEverySteps : 0);
  const checkpointBytes = given.method === 'full' ? 3 * weightBytesOf(training) * shape.parameters : 0;
  const disks = diskBandwidth * place.nodes;
  const time = [
    { part: 'start', seconds: startSeconds + weightsOnDisk / disks },
    { part: 'steps', seconds: steps * stepSeconds },
    ...evaluationTime(training, steps, mean, place),
    { part: formatCounted(checkpoints, 'checkpoint'), seconds: (checkpoints * checkpointBytes) / disks },
    { part: 'writing the model', seconds: weightsOnDisk / disks },
  ];
  const evaluatesAtMost = given.evaluateEverySteps > 0 && job.evaluation?.isAtMost === true;
  const tokensPerSecond = (given.globalBatchSize * cut) / stepSeconds;
  const peak = place.hardware[precision === 'bfloat16' ? 'bfloat16Flops' : 'float32Flops'] ?? Number.NaN;
  const operations =
    6 * shape.activeParameters + 6 * shape.attentionLayers * shape.hiddenSize * batching.sequenceLength;
  return {
    seconds: time.reduce((sum, { seconds }) => sum + seconds, 0),
    time,
    ...(job.data.isAtMost === true || evaluatesAtMost || evaluates ? { isAtMost: true } : {}),
    figures: {
      steps,
      secondsPerStep: stepSeconds,
      tokensPerSecondPerGpu: tokensPerSecond / devices,
      modelFlopsUtilization: (tokensPerSecond * operations) / (devices * peak),
    },
  };
}

/** @param mean tokens of a row that is trained on, for rows to evaluate on of which nobody said how long they are */
function evaluationTime(training: Training, steps: number, mean: number, place: KnownPlace): readonly TimePart[] {
  const { job, shape, precision, batching } = training;
  const { evaluateEverySteps, maxSequenceLength, packing } = job.hyperparameters;
  const { rows, mean: tokensPerRow = mean } = lengthsOf(job.evaluation ?? {});
  if (evaluateEverySteps === 0 || rows === undefined) return [];
  const evaluations = timesIn(steps, evaluateEverySteps);
  // Rows of one length lie side by side, so nothing is padded.
  const sequenceLength = Math.min(tokensPerRow, maxSequenceLength);
  const tokensPerPass = batching.sequences * batching.sequenceLength;
  const sequencesPerDevice = packing ? tokensPerPass / sequenceLength : batching.sequences;
  const work = { sequenceLength, sequencesPerDevice, recomputedShare: 0, trainsAll: true };
  const both = passSeconds(shape, work, { ...place, gpus: Math.max(1, place.gpus), precision });
  if (both === undefined) return [];
  const passes = Math.ceil(rows / (sequencesPerDevice * Math.max(1, place.gpus)));
  return [{ part: formatCounted(evaluations, 'evaluation'), seconds: evaluations * passes * forwardShare * both }];
}

/** In how many steps something comes that comes every so many, by either count, and in the last one; 0: only then. */
function timesIn(steps: number, every: number, orEvery = 0): number {
  const [one, other] = every === 0 ? [orEvery, 0] : [every, orEvery];
  if (one === 0) return Math.min(1, steps);
  const both = other === 0 ? 0 : (one * other) / greatestDivisor(one, other);
  const counts = [one, other, both].map((count) => (count === 0 ? 0 : Math.floor(steps / count)));
  const isLastDue = steps % one === 0 || (other > 0 && steps % other === 0);
  return counts[0]! + counts[1]! - counts[2]! + (isLastDue ? 0 : 1);
}

function greatestDivisor(one: number, other: number): number {
  return other === 0 ? one : greatestDivisor(other, one % other);
}

function weightBytesOf({ job, precision }: Training): number {
  const isHalf = precision === 'bfloat16' && job.extensions?.weights === 'bfloat16';
  // An adapter is float32 always.
  return isHalf && job.hyperparameters.method === 'full' ? 2 : 4;
}

function memoryOf(training: Training, place: KnownPlace): readonly MemoryPart[] {
  const { job, shape, precision, batching } = training;
  const { hyperparameters: given, extensions } = job;
  const activationBytes = precision === 'bfloat16' ? 2 : 4;
  return trainingMemory(shape, {
    method: given.method,
    loraRank: given.lora?.rank ?? 16,
    weightBytes: weightBytesOf(training),
    activationBytes,
    tokens: batching.mostTokens,
    // Eager attention has a packed pass for one sequence.
    attendedTokens: given.packing ? batching.mostTokens : batching.longest,
    scoreBytes: keptScoreBytes({
      config: job.model.config,
      asked: extensions?.attention,
      packing: given.packing,
      activationBytes,
    }),
    recomputes: given.gradientCheckpointing,
    shards: Math.max(1, place.gpus),
  });
}

/** What of a training on some accelerators the advice on its memory follows from. */
function adviceOn({ job, shape, precision, batching }: Training, place: KnownPlace): readonly Advice[] {
  const setting = { job, gpus: place.gpus };
  return trainingAdvice(setting, {
    memoryBytes: place.hardware.memoryBytes ?? Number.POSITIVE_INFINITY,
    precision,
    longest: batching.longest,
    takesSeveralRows: batching.mostTokens > batching.longest,
    bytesOf({ job: changed, gpus }) {
      const there = { ...place, gpus };
      return memoryOf(read(changed, shape, there), there).reduce((sum, { bytes }) => sum + bytes, 0);
    },
  });
}
