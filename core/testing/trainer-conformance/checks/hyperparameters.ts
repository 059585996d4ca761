import {
  type Hyperparameters,
  LearningRateSchedule,
  Precision,
  type TrainingStarted,
} from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import { refusedHonestly, type TrainerCheck } from '../check.js';
import { named } from '../named.js';
import { hyperparameters, nextToNoRate, rowCount, shortTrainingSteps } from '../trainer-bench.js';
import { stepsOf } from '../training-events.js';
import { furthest, type Trial, Trials } from '../trials.js';

/** To which every gradient must be clipped. */
const tinyNorm = 1e-6;
/** Losses of one training over which max_loss_rise takes a mean. */
const lossWindow = 8;
/** In nats: more than rounding, and less than what rows differ by. */
const leastRise = 1e-4;
/** As a share, how far apart figures may be that are summed up in another order. */
const sameShare = 1e-3;
/** How many times as far apart as two draws of dropout took figures they may be, for they were but two. */
const noiseFactor = 8;

/** That hyperparameters are honoured: each, changed alone, shows in what a step is told to be. */
export const hyperparameterChecks: readonly TrainerCheck[] = [
  {
    name: 'epochs',
    expects: 'as many steps as epochs say, where max_steps is not set: a part of an epoch too, its last batch short',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      // Three steps an epoch, the last of two rows; four and a half in all, and so five.
      const trial = await trials.with({ maxSteps: undefined, epochs: 1.5, globalBatchSize: 4 });
      if (trial === undefined) return trials.refused;
      const seen = trial.steps.map(({ rowsSeen }) => Number(rowsSeen));
      // What is counted wrong from the first step on, `figures` tells.
      const rows = seen.slice(1).map((count, index) => count - (seen[index] as number));
      const expected = `five steps over ${rowCount} rows, the last four of them with 4, 2, 4 and 4 more rows seen,`;
      demand(String(rows) === '4,2,4,4', `${expected} with ${named(trial.change)}`, seen);
      return undefined;
    },
  },
  {
    name: 'truncation',
    expects: 'rows that are longer than max_sequence_length to be cut to it, and counted',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const whole = (await trials.plain()).started;
      const limit = cuttingLength(whole);
      const trial = await trials.with({ maxSequenceLength: limit });
      if (trial === undefined) return trials.refused;
      const { tokens, truncatedRows } = trial.started;
      const isCut =
        tokens <= rowCount * limit && tokens < whole.tokens && truncatedRows > 0 && truncatedRows <= rowCount;
      const expected = `fewer tokens than ${whole.tokens}, at most ${limit} in a row, and truncated_rows above 0`;
      demand(isCut, `${expected}, with ${named(trial.change)}`, { tokens, truncatedRows });
      return undefined;
    },
  },
  {
    name: 'truncated-share',
    expects:
      'training to be refused, or to fail as data_invalid, where more rows are cut than max_truncated_share allows',
    needs: ['train'],
    async run(bench) {
      const limit = cuttingLength((await new Trials(bench).plain()).started);
      const change = { maxSequenceLength: limit, maxTruncatedShare: 0 };
      const tried = await bench.attempt({ maxSteps: 1, ...change });
      if (tried instanceof Error) return await refusedHonestly(bench, tried, named(change));
      const end = tried.events.at(-1)?.event;
      const isRefused = end?.$case === 'trainingFailed' && end.value.code === 'data_invalid' && !end.value.retryable;
      demand(isRefused, `training_failed, data_invalid, not retryable, with ${named(change)}`, end);
      return undefined;
    },
  },
  {
    name: 'precision',
    expects: 'the precision that is asked for to be told in training_started, and to change the losses',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const plain = await trials.plain();
      const trial = await trials.with({ precision: Precision.PRECISION_BFLOAT16 });
      for (const { change, started } of trial === undefined ? [plain] : [plain, trial]) {
        const asked = { precision: change.precision ?? hyperparameters.precision };
        demand(started.precision === asked.precision, named(asked), named({ precision: started.precision }));
      }
      if (trial !== undefined) await trials.differ(trial, plain);
      return trials.refused;
    },
  },
  {
    name: 'device-batch',
    expects: 'the loss and gradient_norm of a step to be those of all its rows, whatever device_batch_size is',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const rows = { trainingData: await bench.unevenRows() };
      const all = { globalBatchSize: rowCount, maxSteps: 3 };
      const whole = await trials.with({ ...all, deviceBatchSize: rowCount }, rows);
      // All rows are in every step, in whatever order: what is left of the seed is dropout.
      const again = await trials.with({ ...all, deviceBatchSize: rowCount, seed: hyperparameters.seed + 1n }, rows);
      const single = await trials.with({ ...all, deviceBatchSize: 1 }, rows);
      if (whole === undefined || again === undefined || single === undefined) return trials.refused;
      const { rowsPerPass = 1 } = single.started;
      demand(rowsPerPass === 1, `rows_per_pass = 1 with ${named(single.change)}`, rowsPerPass);
      for (const figure of ['loss', 'gradientNorm'] as const) {
        const [expected, found, other] = [whole, single, again].map(({ steps }) => steps.map((step) => step[figure]));
        const noise = furthest(expected!, other!);
        const largest = Math.max(...expected!.map((value) => value ?? 0));
        const isSame = !(furthest(expected!, found!) > Math.max(noiseFactor * noise, sameShare * largest));
        const what = `the ${figure === 'loss' ? 'losses' : 'gradient norms'} ${expected} of one pass`;
        demand(isSame, `${what} with ${named(single.change)}, where each trained token weighs the same`, `${found}`);
      }
      return trials.refused;
    },
  },
  {
    name: 'data-order',
    expects: 'another seed to give another order of rows, and so other losses; the same seed the same',
    needs: ['train'],
    run: (bench) => changeLosses(new Trials(bench), [{ seed: hyperparameters.seed + 1n }]),
  },
  {
    name: 'learning-rate',
    expects: 'learning_rate to follow warmup_ratio and schedule, and each of the two to change the losses',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const tried = [await trials.plain()];
      followsSchedule(tried[0]!);
      for (const schedule of [
        LearningRateSchedule.LEARNING_RATE_SCHEDULE_LINEAR,
        LearningRateSchedule.LEARNING_RATE_SCHEDULE_COSINE,
        LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT,
      ]) {
        const trial = await trials.with({ schedule, warmupRatio: 0.25 });
        if (trial === undefined) continue;
        followsSchedule(trial);
        for (const other of tried) await trials.differ(trial, other);
        tried.push(trial);
      }
      return trials.refused;
    },
  },
  {
    name: 'adam',
    expects: 'adam_beta1, adam_beta2 and adam_epsilon, each changed alone, to change the losses of later steps',
    needs: ['train'],
    run: (bench) => changeLosses(new Trials(bench), [{ adamBeta1: 0.5 }, { adamBeta2: 0.5 }, { adamEpsilon: 1e-3 }]),
  },
  {
    name: 'weight-decay',
    expects: 'weight_decay, changed alone, to change the losses of later steps, decoupled from the gradients',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      await trials.changeLosses({ weightDecay: 1 });
      // Each step takes a tenth of the weights. As a part of the gradients, Adam would make it as small as the rate.
      const still = await trials.with({ learningRate: nextToNoRate });
      const decayed = await trials.with({ learningRate: nextToNoRate, weightDecay: 0.1 / nextToNoRate });
      if (still !== undefined && decayed !== undefined) await trials.differ(decayed, still);
      return trials.refused;
    },
  },
  {
    name: 'gradient-clipping',
    expects: 'gradients to be clipped to max_gradient_norm, where it is not 0, and gradient_norm to be that before',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const clipped = await trials.with({ maxGradientNorm: tinyNorm });
      const wide = await trials.with({ maxGradientNorm: 1e9 });
      const off = await trials.with({ maxGradientNorm: 0 });
      if (clipped === undefined || wide === undefined) return trials.refused;
      await trials.differ(clipped, wide);
      for (const { step, gradientNorm } of clipped.steps) {
        const isWhole = gradientNorm === undefined || gradientNorm > 1.01 * tinyNorm;
        demand(isWhole, `the norm of step ${step} before it was clipped to ${tinyNorm}`, String(gradientNorm));
      }
      if (off !== undefined) trials.areAlike(off, wide, clipped);
      return trials.refused;
    },
  },
  {
    name: 'max-loss-rise',
    expects: 'training to fail as loss_diverged once the mean of eight losses is max_loss_rise above the lowest such',
    needs: ['train'],
    async run(bench) {
      // Weights that stay as they are: the losses rise and fall with the rows, and rise somewhere.
      const change = { learningRate: nextToNoRate, maxSteps: 40, maxLossRise: leastRise };
      const tried = await bench.attempt(change);
      if (tried instanceof Error) return await refusedHonestly(bench, tried, named({ maxLossRise: leastRise }));
      const { events } = tried;
      const end = events.at(-1)?.event;
      const losses = stepsOf(events).map(({ loss }) => loss ?? Number.NaN);
      const step = firstRise(losses, leastRise);
      const saw = end?.$case === 'trainingFailed' ? end : { $case: end?.$case, lastStep: losses.length };
      if (step === undefined && end?.$case === 'trainingCompleted') return 'nothing can be told: no such mean rose';
      const hasFailed = end?.$case === 'trainingFailed' && end.value.code === 'loss_diverged' && !end.value.retryable;
      const when = step === undefined ? '' : ` after step ${step}, where its losses say so,`;
      const expected = `training_failed, loss_diverged, not retryable,${when} with ${named(change)}`;
      demand(
        hasFailed && losses.length >= (step ?? lossWindow) && losses.length <= (step ?? losses.length),
        expected,
        saw,
      );
      return undefined;
    },
  },
];

/** In tokens: less than the mean, so that a row is longer, and more than a prompt, so that each has some to train. */
const cuttingLength = ({ tokens }: TrainingStarted) => Math.ceil(Number(tokens) / rowCount) - 1;

/** The first step whose last losses have a mean that is so far above the lowest such mean. */
function firstRise(losses: readonly number[], rise: number): number | undefined {
  let lowest = Number.POSITIVE_INFINITY;
  for (let step = lossWindow; step <= losses.length; step++) {
    const mean = losses.slice(step - lossWindow, step).reduce((sum, loss) => sum + loss / lossWindow, 0);
    lowest = Math.min(lowest, mean);
    if (mean > lowest + rise) return step;
  }
  return undefined;
}

/** That each of these changes alone gives other losses. @returns what was refused */
async function changeLosses(trials: Trials, changes: readonly Partial<Hyperparameters>[]): Promise<string | undefined> {
  for (const change of changes) await trials.changeLosses(change);
  return trials.refused;
}

/**
 * That the rate of every step lies where its schedule passes from the step's beginning to its end: trainers differ in
 * which of the two they take. @throws Deviation
 */
function followsSchedule({ change, steps }: Trial): void {
  const { learningRate, schedule, warmupRatio } = { ...hyperparameters, ...change };
  const warmup = warmupRatio * shortTrainingSteps;
  const shareAt = (steps: number) =>
    steps < warmup ? steps / warmup : decayed(schedule, (steps - warmup) / (shortTrainingSteps - warmup));
  const rates = steps.map((step) => step.learningRate);
  for (const step of steps) {
    const ends = [shareAt(step.step - 1), shareAt(step.step)].map((share) => share * learningRate);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const tolerance = 1e-5 * learningRate;
    const fits = step.learningRate >= low - tolerance && step.learningRate <= high + tolerance;
    const what = `a learning_rate from ${short(low)} to ${short(high)} in step ${step.step} of ${shortTrainingSteps}`;
    demand(fits, `${what} with ${named({ learningRate, schedule, warmupRatio })}`, `${rates.map(short).join(', ')}`);
  }
}

/** The share of the peak that is left after this share of the steps behind the warm-up. */
function decayed(schedule: LearningRateSchedule, share: number): number {
  switch (schedule) {
    case LearningRateSchedule.LEARNING_RATE_SCHEDULE_COSINE:
      return (1 + Math.cos(Math.PI * share)) / 2;
    case LearningRateSchedule.LEARNING_RATE_SCHEDULE_LINEAR:
      return 1 - share;
    default:
      return 1;
  }
}

const short = (value: number) => String(Number(value.toPrecision(4)));
