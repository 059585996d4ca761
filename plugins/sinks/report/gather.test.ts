import type { Event } from 'simmerkit';
import { expect, it } from 'vitest';
import { RunGatherer } from './gather.js';

const time = '2026-01-01T12:00:00.000Z';

/** @param stage in the run of the event */
function event(type: string, stage: string, data: object): Event {
  return { runId: 'some', sequence: 1, time, type, stage, data } as Event;
}

it('has the warnings of stages that an earlier run made, under their names in this run, and of no others', () => {
  const made = { uses: 'eval/grade', key: 'k', outputs: {} };
  const written = (stage: string, level: string, message: string) =>
    event('log.written', stage, { level, source: 'stage', message });
  const origin = new RunGatherer();
  origin.add(written('graded', 'info', 'news'));
  origin.add(written('graded', 'warning', 'most answers were cut'));
  origin.add(written('other', 'warning', 'of another stage'));
  origin.add(event('stage.completed', 'graded', { ...made, seconds: 1 }));
  const gatherer = new RunGatherer();
  gatherer.add(event('stage.reused', 'grades', { ...made, madeBy: 'earlier' }));
  gatherer.addOrigin('grades', 'k', origin);
  expect(gatherer.result().incidents).toEqual([{ time, text: 'grades: most answers were cut' }]);
});

it('has a warning once that a reused stage tells again', () => {
  const made = { uses: 'eval/grade', key: 'k', outputs: {} };
  const warning = (message: string) => event('log.written', 'graded', { level: 'warning', source: 'stage', message });
  const origin = new RunGatherer();
  origin.add(warning('most answers were cut'));
  origin.add(event('stage.completed', 'graded', { ...made, seconds: 1 }));
  const gatherer = new RunGatherer();
  gatherer.add(warning('When earlier made this: most answers were cut'));
  gatherer.add(event('stage.reused', 'graded', { ...made, madeBy: 'earlier' }));
  gatherer.addOrigin('graded', 'k', origin);
  expect(gatherer.result().incidents).toEqual([
    { time, text: 'graded: When earlier made this: most answers were cut' },
  ]);
});

it('counts the time in which the run ran, not that between a stop or a kill and a resume', () => {
  const at = (seconds: number, type: string, data: object = {}) => {
    const later = new Date(Date.parse(time) + seconds * 1000).toISOString();
    return { runId: 'some', sequence: 1, time: later, type, data } as Event;
  };
  const started = { pid: 1, host: 'here', resumed: true };
  const gatherer = new RunGatherer();
  for (const each of [
    at(0, 'run.started', { ...started, resumed: false }),
    at(10, 'run.interrupted', { reason: 'Ctrl-C' }),
    at(200, 'budget.set', {}),
    at(210, 'run.started', started),
    at(215, 'budget.set', {}),
    at(500, 'run.started', started),
    at(503, 'run.completed', { metrics: {} }),
  ]) {
    gatherer.add(each);
  }
  expect(gatherer.result().seconds).toBe(10 + 5 + 3);
});

it('has of an evaluation that ran again, since a kill had lost its checkpoint, what it told last', () => {
  const gatherer = new RunGatherer();
  for (const [step, loss] of [
    [5, 2],
    [10, 1.5],
    [10, 1.51],
    [15, 1.2],
  ]) {
    gatherer.add(event('evaluation.logged', 'tuned', { step, loss, best: true }));
  }
  gatherer.add(event('step.logged', 'tuned', { step: 15, rerun: false }));
  const [training] = gatherer.result().trainings;
  expect(training?.evaluations.map(({ step, loss }) => [step, loss])).toEqual([
    [5, 2],
    [10, 1.51],
    [15, 1.2],
  ]);
});
