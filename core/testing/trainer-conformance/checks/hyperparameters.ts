import { type Hyperparameters, LearningRateSchedule, Method } from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import type { TrainerCheck } from '../check.js';
import { hyperparameters, rowCount, shortTrainingSteps } from '../trainer-bench.js';
import { named, type Trial, Trials } from '../trials.js';

/** To which every gradient must be clipped. */
const tinyNorm = 1e-6;

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
      // Less than the mean, so that a row is longer, and more than a prompt, so that each has something to train.
      const limit = Math.ceil(Number(whole.tokens) / rowCount) - 1;
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
    name: 'adapter',
    expects: 'METHOD_LORA to train some weights, not all of them',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const lora = { rank: 2, alpha: 4, dropout: 0, targetModules: [] };
      const trial = await trials.with({ method: Method.METHOD_LORA, lora });
      if (trial === undefined) return trials.refused;
      const { parameters, trainedParameters } = trial.started;
      const isPart = trainedParameters > 0n && trainedParameters < parameters;
      demand(isPart, 'trained_parameters above 0 and below parameters', { parameters, trainedParameters });
      return undefined;
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
    expects: 'weight_decay, changed alone, to change the losses of later steps',
    needs: ['train'],
    run: (bench) => changeLosses(new Trials(bench), [{ weightDecay: 1 }]),
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
];

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
