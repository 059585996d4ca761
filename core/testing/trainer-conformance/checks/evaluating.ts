import {
  type EvaluationLogged,
  type Hyperparameters,
  LearningRateSchedule,
} from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import type { TrainerCheck } from '../check.js';
import { named } from '../named.js';
import { modelIn, nextToNoRate } from '../trainer-bench.js';
import { Trials } from '../trials.js';

/** More than any loss: no evaluation but the first is better than the best one by so much. */
const outOfReach = 1e6;
/** As a share, how far apart losses of the same weights over the same rows may be: they are summed up in floats. */
const rounding = 1e-4;

/** Evaluations, and what depends on them. */
export const evaluatingChecks: readonly TrainerCheck[] = [
  {
    name: 'evaluation',
    expects: 'an evaluation_logged every evaluate_every_steps, and best = true, where it is told, of the lowest so far',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      // What is learned of some rows is of no use to such: not every evaluation is better than the last.
      const trial = await trials.with(every(2, { maxSteps: 6 }), {
        evaluationData: await bench.otherRows(),
        what: 'evaluate_every_steps',
      });
      if (trial === undefined) return trials.refused;
      const { evaluations } = trial;
      const steps = evaluations.map(({ step }) => step);
      demand(String(steps) === '2,4,6', 'evaluations after the steps 2, 4 and 6', steps);
      const areFinite = evaluations.every(({ loss }) => Number.isFinite(loss));
      demand(areFinite, 'finite losses', evaluations);
      for (const [index, { loss, best }] of evaluations.entries()) {
        const isBest = evaluations.slice(0, index).every((earlier) => loss < earlier.loss);
        demand(best === undefined || best === isBest, `best = ${isBest} of evaluation ${index + 1}`, evaluations);
      }
      return undefined;
    },
  },
  {
    name: 'evaluation-data',
    expects: 'the loss over all rows of evaluation_data, without dropout: the same while the weights are the same',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const still = every(2, { learningRate: nextToNoRate, maxSteps: 4 });
      const what = 'evaluate_every_steps';
      const same = await trials.with(still, { evaluationData: bench.trainingData, what });
      if (same === undefined) return trials.refused;
      const [first = Number.NaN, second = Number.NaN] = same.evaluations.map(({ loss }) => loss);
      const tolerance = rounding * Math.abs(first);
      const isSteady = Math.abs(first - second) <= tolerance;
      demand(isSteady, `the loss ${first} again after two more steps with ${named(still)}`, String(second));
      // Of a model that has learned nothing, all rows may have the same loss.
      const learning = every(4, { maxSteps: 4 });
      const learned = await trials.with(learning, { evaluationData: bench.trainingData, what });
      const other = await trials.with(learning, { evaluationData: await bench.otherRows(), what });
      const [loss = Number.NaN, over = Number.NaN] = [learned, other].map((trial) => trial?.evaluations[0]?.loss);
      const expected = `after four steps another loss over rows that were not trained on, with ${named(learning)}`;
      demand(Math.abs(over - loss) > tolerance, expected, `${loss} over those that were, ${over} over others`);
      return trials.refused;
    },
  },
  {
    name: 'early-stopping',
    expects: 'training to end, as stopped_early, after early_stopping_patience evaluations that were not better enough',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const change = every(2, {
        maxSteps: 12,
        earlyStoppingPatience: 2,
        earlyStoppingMinImprovement: outOfReach,
      });
      const what = 'early_stopping_patience';
      const trial = await trials.with(change, { evaluationData: bench.trainingData, what });
      if (trial === undefined) return trials.refused;
      const { completed, steps } = trial;
      const hasStopped = completed.steps === 6 && completed.stoppedEarly === true && steps.at(-1)?.step === 6;
      const expected = 'an end after step 6, the third evaluation, with steps = 6 and stopped_early = true,';
      demand(hasStopped, `${expected} with ${named(change)}`, { ...completed, lastStepLogged: steps.at(-1)?.step });
      return undefined;
    },
  },
  {
    name: 'keep-best',
    expects: 'the model to have the weights of the best evaluation with keep_best, and best_step to say which it was',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const evaluationData = await bench.otherRows();
      const change = every(2, { maxSteps: 6, keepBest: true });
      const trial = await trials.with(change, { evaluationData, what: 'keep_best' });
      if (trial === undefined) return trials.refused;
      const { completed, evaluations } = trial;
      const best = lowest(evaluations);
      const last = evaluations.at(-1);
      demand(best !== undefined && last !== undefined, `evaluations with ${named(change)}`, 'none');
      if (best === last) return 'nothing can be told: the last evaluation was the best';
      demand(completed.bestStep === best.step, `best_step = ${best.step} after ${losses(evaluations)}`, completed);
      const told = completed.evaluationLoss ?? best.loss;
      const isTold = Math.abs(told - best.loss) <= rounding * best.loss;
      demand(isTold, `evaluation_loss = ${best.loss}, that of step ${best.step}`, completed);
      const once = every(1, { learningRate: nextToNoRate, maxSteps: 1 });
      const next = await trials.with(once, {
        evaluationData,
        model: modelIn(completed.modelFolder),
        what: 'a model that it has made',
      });
      if (next === undefined) return trials.refused;
      const found = next.evaluations[0]?.loss ?? Number.NaN;
      const isKept = Math.abs(found - best.loss) < Math.abs(found - last.loss);
      const expected = `weights whose loss on evaluation_data is near ${best.loss} (step ${best.step})`;
      demand(isKept, `${expected} in model/, and not ${last.loss} (step ${last.step})`, String(found));
      return undefined;
    },
  },
];

function every(evaluateEverySteps: number, change: Partial<Hyperparameters>): Partial<Hyperparameters> {
  return { evaluateEverySteps, schedule: LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT, ...change };
}

function lowest(evaluations: readonly EvaluationLogged[]): EvaluationLogged | undefined {
  return evaluations.toSorted((one, other) => one.loss - other.loss)[0];
}

const losses = (evaluations: readonly EvaluationLogged[]) =>
  evaluations.map(({ step, loss }) => `${loss} in step ${step}`).join(', ');
