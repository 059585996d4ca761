import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { LearningRateSchedule, type TrainerEvent } from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import { acceptedAfterEnd, modelIn, nextToNoRate, rowCount } from '../trainer-bench.js';
import { startedOf, stepsOf } from '../training-events.js';
import { Trials } from '../trials.js';

const endings: ReadonlySet<string> = new Set(['trainingCompleted', 'trainingCanceled', 'trainingFailed']);

/** What an event is, for messages. */
export function caseOf(event: TrainerEvent | undefined): string {
  return event?.event?.$case ?? 'nothing';
}

export const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Attempts and what they tell. */
export const trainingChecks: readonly TrainerCheck[] = [
  {
    name: 'start-twice',
    expects: 'StartTraining with an attempt_id that it knows to change nothing and to answer already_started',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const request = await bench.training({ maxSteps: 3 });
      const first = await trainer.call(trainer.client.startTraining, request);
      demand(!first.alreadyStarted, 'already_started = false the first time', first);
      for (const when of ['while it runs', 'after its end']) {
        const again = await trainer.call(trainer.client.startTraining, request);
        demand(again.alreadyStarted, `already_started = true ${when}`, again);
        await trainer.events(request.attemptId);
      }
    },
  },
  {
    name: 'one-at-a-time',
    expects: 'FAILED_PRECONDITION for another attempt while one runs, which Describe names, and goes on',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { attemptId } = await bench.startEndless(trainer);
      const other = await bench.training({ maxSteps: 1 });
      const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, other));
      demandStatus(refusal, [status.FAILED_PRECONDITION], 'FAILED_PRECONDITION', 'another attempt was accepted');
      const { runningAttemptId } = await trainer.call(trainer.client.describe, {});
      demand(runningAttemptId === attemptId, `running_attempt_id ${attemptId}`, runningAttemptId ?? 'none');
      await trainer.call(trainer.client.cancel, { attemptId, checkpointFirst: false });
      const after = await trainer.call(trainer.client.describe, {});
      demand(after.runningAttemptId === undefined, 'no running_attempt_id after its end', after.runningAttemptId);
      await trainer.call(trainer.client.startTraining, other);
      await trainer.events(other.attemptId);
      const next = await bench.training({ maxSteps: 1 });
      const late = await trainer.refusal(trainer.call(trainer.client.startTraining, next));
      demand(late === undefined, acceptedAfterEnd, late);
      await trainer.events(next.attemptId);
    },
  },
  {
    name: 'event-order',
    expects:
      'events numbered from 1 without gaps: training_started, then every step once and in order, then one ending, last',
    needs: ['train'],
    async run(bench) {
      const { events } = await bench.whole();
      const numbers = events.map(({ number }) => Number(number));
      demand(String(numbers) === String(upTo(events.length)), `the numbers 1 to ${events.length}`, numbers);
      demand(
        events.every(({ time }) => time !== undefined),
        'a time in every event',
        'an event without',
      );
      const cases = events.map(caseOf);
      const started = cases.indexOf('trainingStarted');
      const firstStep = cases.indexOf('stepLogged');
      const order = 'one training_started, before the first step_logged';
      demand(started !== -1 && started < firstStep && started === cases.lastIndexOf('trainingStarted'), order, cases);
      const steps = stepsOf(events).map(({ step }) => step);
      demand(String(steps) === String(upTo(12)), 'the steps 1 to 12, each once', steps);
      const ended = cases.filter((name) => endings.has(name));
      demand(ended.length === 1 && endings.has(cases.at(-1) ?? ''), 'one ending, as the last event', cases);
      demand(cases.at(-1) === 'trainingCompleted', 'training_completed', events.at(-1));
    },
  },
  {
    name: 'figures',
    expects: 'figures that fit the request: rows, steps in all, losses, epochs, rows and tokens seen, no step a rerun',
    needs: ['train'],
    async run(bench) {
      const { events } = await bench.whole();
      const started = startedOf(events);
      const { rows, totalSteps, resumedAfterStep, trainedTokens, tokens } = started;
      demand(rows === rowCount, `rows = ${rowCount}`, rows);
      demand(totalSteps === 12 && resumedAfterStep === 0, 'total_steps = 12, resumed_after_step = 0', started);
      demand(trainedTokens > 0n && trainedTokens < tokens, 'some tokens that are trained, and others', started);
      for (const step of stepsOf(events)) {
        const isSound = step.loss !== undefined && Number.isFinite(step.loss) && !step.rerun;
        demand(isSound, 'a finite loss and rerun = false', step);
        // Ten rows, two a step: five steps an epoch.
        demand(step.rowsSeen === BigInt(2 * step.step), `rows_seen = ${2 * step.step}`, step);
        demand(Math.abs(step.epoch - step.step / 5) < 1e-6, `epoch = ${step.step / 5}`, step);
      }
      const seen = stepsOf(events).map(({ tokensSeen }) => tokensSeen);
      const areRising = seen.every((count, index) => count > (seen[index - 1] ?? 0n));
      demand(areRising, 'tokens_seen that rise with every step', seen.map(Number));
      const epoch = stepsOf(events)[4];
      demand(epoch?.tokensSeen === tokens, `tokens_seen = tokens, ${tokens}, after the first epoch`, epoch);
      const { trainedTokensSeen = trainedTokens } = epoch;
      demand(trainedTokensSeen === trainedTokens, `trained_tokens_seen = trained_tokens, ${trainedTokens}`, epoch);
    },
  },
  {
    name: 'final-model',
    expects: 'training_completed to name the folder model/ of output_folder, with config.json and safetensors in it',
    needs: ['train'],
    async run(bench) {
      const { request, events } = await bench.whole();
      const end = events.at(-1)?.event;
      demand(end?.$case === 'trainingCompleted', 'training_completed', end);
      const folder = join(request.outputFolder, 'model');
      demand(end.value.modelFolder === folder, folder, end.value.modelFolder);
      demand(end.value.steps === 12, 'steps = 12', end.value);
      const files = await readdir(folder).catch((): string[] => []);
      const hasModel = files.includes('config.json') && files.some((name) => name.endsWith('.safetensors'));
      demand(hasModel, 'config.json and a safetensors file', files.length === 0 ? 'no files' : files);
    },
  },
  {
    name: 'trained-model',
    expects: 'the model that training leaves to have the trained weights: who trains it on begins where it ended',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      // All rows in every step: its loss is that of the weights, whatever the order.
      const whole = { globalBatchSize: rowCount, schedule: LearningRateSchedule.LEARNING_RATE_SCHEDULE_CONSTANT };
      const trial = await trials.with(whole);
      if (trial === undefined) return trials.refused;
      const model = modelIn(trial.completed.modelFolder);
      const next = await trials.with(
        { ...whole, learningRate: nextToNoRate, maxSteps: 1 },
        { model, what: 'a model that it has made' },
      );
      if (next === undefined) return trials.refused;
      const [first = 0, last = 0] = [trial.steps[0]?.loss, trial.steps.at(-1)?.loss];
      const begins = next.steps[0]?.loss ?? Number.NaN;
      const isTrained = Math.abs(begins - last) <= Math.abs(begins - first);
      demand(isTrained, `a loss near ${last}, and not ${first}, with which it began itself`, begins);
      return undefined;
    },
  },
  {
    name: 'log-schedule',
    expects: 'a step_logged every log_every_steps, and one of the last step',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const request = await bench.training({ maxSteps: 10, logEverySteps: 4 });
      await trainer.call(trainer.client.startTraining, request);
      const steps = stepsOf(await trainer.events(request.attemptId)).map(({ step }) => step);
      demand(String(steps) === '4,8,10', 'the steps 4, 8 and 10', steps);
    },
  },
  {
    name: 'seeds',
    expects: 'the same request, in another job, to give the same losses',
    needs: ['train', 'deterministicResume'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { request, events } = await bench.whole();
      const again = { ...(await bench.training()), hyperparameters: request.hyperparameters, attemptId: randomUUID() };
      await trainer.call(trainer.client.startTraining, again);
      const losses = (of: readonly TrainerEvent[]) => stepsOf(of).map(({ loss }) => loss);
      const [first, second] = [losses(events), losses(await trainer.events(again.attemptId))];
      demand(String(first) === String(second), `the losses ${first}`, `${second}`);
    },
  },
];
