import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event, EventDraft } from '../events/catalogue.js';
import { foldRunState, foldRunStates, initialRunState, isDone, type RunState } from './run-state.js';

const start = Date.parse('2026-01-01T00:00:00.000Z');

/** Folds drafts, one every ten seconds unless `at` says otherwise. */
function fold(drafts: readonly (EventDraft & { readonly at?: number })[], from: RunState = initialRunState): RunState {
  return drafts.reduce((state, { at, ...draft }, index) => {
    const sequence = state.events + 1;
    const time = new Date(start + (at ?? index * 10) * 1000).toISOString();
    return foldRunState(state, { runId: 'r', sequence, time, ...draft } as Event);
  }, from);
}

const created: EventDraft = {
  type: 'run.created',
  data: { format: 1, simmerVersion: '0.1.0', recipe: 'tiny', planDigest: 'abc', seed: 7 },
};
const started = (resumed = false): EventDraft => ({ type: 'run.started', data: { pid: 1, host: 'h', resumed } });
const stageStarted = (stage: string, attempt = 1): EventDraft => ({
  type: 'stage.started',
  stage,
  attempt,
  data: { uses: `p/${stage}`, key: 'k' },
});
const completed: EventDraft = {
  type: 'run.completed',
  data: { runId: 'r', reportPath: null, metrics: {}, outputs: {}, seconds: 1 },
};

describe('the state of a run', () => {
  it('follows a stage from its start to its outputs', () => {
    const outputs = { dataset: 'simmer://dataset/sha256-00' };
    const state = fold([
      created,
      started(),
      stageStarted('pool'),
      { type: 'stage.progressed', stage: 'pool', attempt: 1, data: { done: 5, total: 10, unit: 'rows' } },
      {
        type: 'stage.completed',
        stage: 'pool',
        attempt: 1,
        data: { uses: 'p/pool', key: 'k', outputs, seconds: 3, peakMemoryBytes: 4 },
      },
    ]);
    expect(state).toMatchObject({ runId: 'r', recipe: 'tiny', status: 'running', events: 5 });
    expect(state.stages.pool).toMatchObject({ status: 'completed', outputs, key: 'k' });
    expect(isDone(state.stages.pool)).toBe(true);
  });

  it('takes what a dead core left running for interrupted, and forgets how the run ended before', () => {
    const failed: EventDraft = { type: 'run.failed', data: { error: { code: 'x', message: 'm' }, stage: 'a' } };
    const state = fold([created, started(), stageStarted('a'), failed, started(true)]);
    expect(state.status).toBe('running');
    expect(state.endedAt).toBeUndefined();
    expect(state.stages.a?.status).toBe('interrupted');
  });

  it('counts the time that cores spent on it, not the pause before a resume', () => {
    const state = fold([
      created,
      { ...started(), at: 1 },
      { ...stageStarted('a'), at: 5 },
      { ...started(true), at: 1000 },
      { ...stageStarted('a', 2), at: 1002 },
      { ...completed, at: 1003 },
    ]);
    expect(state.activeSeconds).toBe(4 + 3);
  });

  it('keeps the last measurement of a figure, and the highest attempt of a stage', () => {
    const measured = (value: number): EventDraft => ({
      type: 'metric.measured',
      stage: 'a',
      data: { name: 'accuracy', value },
    });
    const state = fold([created, started(), stageStarted('a'), measured(0.1), stageStarted('a', 2), measured(0.2)]);
    expect(Object.values(state.figures)).toEqual([{ stage: 'a', figure: { name: 'accuracy', value: 0.2 } }]);
    expect(state.stages.a?.attempt).toBe(2);
  });

  it('passes over types of a newer Simmer, but counts them', () => {
    const before = fold([created, started()]);
    const unknown = { runId: 'r', sequence: 3, time: new Date(start).toISOString(), type: 'moon.risen', data: {} };
    const after = foldRunState(before, unknown as unknown as Event);
    expect(after).toEqual({ ...before, events: 3, lastEventAt: unknown.time });
  });

  it('is the same whether events come one by one or many at once', () => {
    const step = (number: number): EventDraft['data'] => ({
      trainerEvent: number,
      step: number,
      totalSteps: 9,
      epoch: 1,
      loss: 1 / number,
      learningRate: 1e-5,
      gradientNorm: null,
      tokensSeen: number,
      tokensPerSecond: 1,
      peakMemoryBytes: 1,
      rerun: false,
    });
    const draft = fc.record({
      type: fc.constantFrom('step.logged', 'step.logged', 'step.logged', 'checkpoint.saved', 'run.started'),
      stage: fc.constantFrom('tuned', 'tuned', 'other', undefined),
      attempt: fc.constantFrom(1, 1, 2),
      number: fc.integer({ min: 1, max: 9 }),
      seconds: fc.constantFrom(0, 0, 0, 1, -1),
    });
    fc.assert(
      fc.property(fc.array(draft, { maxLength: 30 }), (drafts) => {
        let now = start;
        const events = drafts.map(({ type, stage, attempt, number, seconds }, index) => {
          now += seconds * 1000;
          const time = new Date(now).toISOString();
          return { runId: 'r', sequence: index + 1, time, type, stage, attempt, data: step(number) } as Event;
        });
        expect(foldRunStates(initialRunState, events)).toEqual(events.reduce(foldRunState, initialRunState));
      }),
    );
  });

  it('does not grow with the number of steps', () => {
    const step = (number: number): EventDraft => ({
      type: 'step.logged',
      stage: 'a',
      attempt: 1,
      data: {
        trainerEvent: number,
        step: number,
        totalSteps: 1000,
        epoch: 1,
        loss: 1,
        learningRate: 1,
        gradientNorm: null,
        tokensSeen: 1,
        tokensPerSecond: 1,
        peakMemoryBytes: 1,
        rerun: false,
      },
    });
    const few = fold([created, started(), stageStarted('a'), step(1)]);
    const many = fold(
      Array.from({ length: 900 }, (_, index) => step(index + 2)),
      few,
    );
    expect(many.spending.trainings.a?.step).toBe(901);
    expect(JSON.stringify(many).length).toBeLessThan(JSON.stringify(few).length + 50);
  });
});
