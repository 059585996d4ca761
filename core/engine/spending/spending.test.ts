import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event, EventData, EventType } from '../../events/catalogue.js';
import { budgetChangeOf } from '../../recipe/budget-change.js';
import { budgetReached, secondsLeft, secondsToEnd } from './budget-limits.js';
import { SpendingLedger } from './spending-ledger.js';
import { foldSpending, initialSpending, type SpendingState, unseenRequests } from './spending-state.js';

const start = Date.parse('2026-11-25T10:00:00.000Z');

function told<T extends EventType>(seconds: number, type: T, data: EventData[T], stage?: string): Event {
  const time = new Date(start + 1000 * seconds).toISOString();
  return { runId: 'r', sequence: 1, time, type, ...(stage === undefined ? {} : { stage }), data } as Event;
}

function folded(...events: readonly Event[]): SpendingState {
  return events.reduce(
    (state, event, index) => foldSpending(state, event, events[index - 1]?.time ?? ''),
    initialSpending,
  );
}

const reserve = { stepSeconds: 30, checkpointSeconds: 60, shutdownSeconds: 10 };
const step = { totalSteps: 9, epoch: 0, loss: 1, learningRate: 1, gradientNorm: 1, tokensSeen: 1, tokensPerSecond: 1 };
const logged = (number: number) => ({ ...step, trainerEvent: number, step: number, peakMemoryBytes: 0, rerun: false });
const held = { gpus: 1, nodes: 1, usdPerHour: 1, unattendedSeconds: 60 };
const trainingStarted = { resumedAfterStep: 0 } as EventData['training.started'];

describe('what a run has spent, by its log', () => {
  it('counts what was set aside and not told as spent once a core takes the run up after a kill', () => {
    const state = folded(
      told(0, 'budget.reserved', { usd: 3 }),
      told(9, 'run.started', { pid: 1, host: 'h', resumed: true }),
    );
    expect(state).toMatchObject({ usd: 3, reservedUsd: 0, bySource: { [unseenRequests]: { usd: 3 } } });
  });

  it('counts nothing of it after an orderly end', () => {
    const ended = told(1, 'run.interrupted', { reason: 'Ctrl-C' });
    const started = told(9, 'run.started', { pid: 1, host: 'h', resumed: true });
    expect(folded(told(0, 'budget.reserved', { usd: 3 }), ended, started).usd).toBe(0);
  });

  it('measures the longest step, checkpoint and shutdown', () => {
    const saved = { trainerEvent: 9, step: 3, path: '', bytes: 1 };
    const state = folded(
      told(0, 'training.started', trainingStarted, 'tuned'),
      told(4, 'step.logged', logged(1), 'tuned'),
      told(6, 'step.logged', logged(2), 'tuned'),
      told(7, 'step.logged', logged(3), 'tuned'),
      told(20, 'checkpoint.saved', saved, 'tuned'),
      told(30, 'hardware.released', { holder: 'trainer a', stopSeconds: 2 }),
    );
    expect(state.longest).toEqual({ step: 4, checkpoint: 13, shutdown: 2 });
  });

  it.each<[string, Event]>([
    ['hardware', told(0, 'hardware.held', { ...held, holder: 'trainer a' })],
    ['time', told(0, 'budget.set', { wallClockSeconds: 90_000 })],
  ])('does not take a sleep of the machine for a step, where %s is counted', (_, counting) => {
    const spent = { source: 'trainer a', usd: 0, gpuHours: 0, total: { usd: 0, gpuHours: 0, wallClockSeconds: 0 } };
    const slept = [
      counting,
      told(0, 'training.started', trainingStarted, 'tuned'),
      told(2, 'budget.spent', spent),
      told(28_802, 'budget.spent', spent),
      told(28_803, 'step.logged', logged(1), 'tuned'),
    ];
    expect(folded(...slept).longest).toEqual({ step: 3 });
    // Slow, while the core tells what it spends.
    const slow = [25, 45, 65].map((seconds) => told(28_803 + seconds, 'budget.spent', spent));
    expect(folded(...slept, ...slow, told(28_873, 'step.logged', logged(2), 'tuned')).longest).toEqual({ step: 70 });
  });

  it('does not take the time without a core for a step', () => {
    const started = told(500, 'run.started', { pid: 1, host: 'h', resumed: true });
    const state = folded(
      told(0, 'training.started', trainingStarted, 'tuned'),
      started,
      told(501, 'step.logged', logged(1), 'tuned'),
    );
    expect(state.longest).toEqual({});
  });
});

describe('the ledger', () => {
  it('adds up the same, however often it is told', () => {
    const moments = fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 20 });
    fc.assert(
      fc.property(moments, fc.integer({ min: 0, max: 100 }), (times, usdPerHour) => {
        const ledger = new SpendingLedger(initialSpending);
        ledger.hold('trainer a', { gpus: 2, usdPerHour }, 0);
        // A clock may be set back: that costs nothing, and nothing twice.
        const slices = [...times, 100_000].flatMap((now) => ledger.takeAll(now));
        expect(slices.reduce((sum, slice) => sum + slice.usd, 0)).toBeCloseTo((usdPerHour * 100) / 3600);
        expect(ledger.usdAt(100_000)).toBeCloseTo((usdPerHour * 100) / 3600);
        expect(ledger.gpuHoursAt(100_000)).toBeCloseTo(200 / 3600);
      }),
    );
  });

  it('keeps what requests may cost apart from what they did cost', () => {
    const ledger = new SpendingLedger(initialSpending);
    ledger.begin(2);
    ledger.begin(2);
    expect([ledger.usdAt(0), ledger.inFlightUsd, ledger.outstandingUsd]).toEqual([0, 4, 4]);
    ledger.end('teacher', 2, { usd: 0.5, outputTokens: 7 });
    expect([ledger.usdAt(0), ledger.inFlightUsd, ledger.outstandingUsd]).toEqual([0.5, 2, 2.5]);
    expect(ledger.takeAll(0)).toEqual([{ source: 'teacher', usd: 0.5, gpuHours: 0, inputTokens: 0, outputTokens: 7 }]);
    expect(ledger.outstandingUsd).toBe(2);
  });

  it('has nothing set aside where nothing is under way, whatever the sums are rounded to', () => {
    const dollars = fc.array(fc.double({ min: 1e-6, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(dollars, dollars, (before, after) => {
        const ledger = new SpendingLedger(initialSpending);
        for (const usd of [...before, ...after]) ledger.begin(usd);
        for (const usd of [...after, ...before]) ledger.end('teacher', usd, {});
        expect(ledger.inFlightUsd).toBe(0);
      }),
    );
  });
});

describe('what is kept back', () => {
  it('is assumed until it is measured, and then what was measured with a margin', () => {
    const training = { isHolding: true, isTraining: true };
    expect(secondsToEnd({}, reserve, training)).toBe(100.5);
    expect(secondsToEnd({ step: 4, checkpoint: 8, shutdown: 2 }, reserve, training)).toBe(0.5 + 1.25 * 14);
  });

  it('is no step where nothing trains, and no shutdown where nothing is held', () => {
    expect(secondsToEnd({}, reserve, { isHolding: true, isTraining: false })).toBe(10.5);
    expect(secondsToEnd({}, reserve, { isHolding: false, isTraining: false })).toBe(0.5);
  });

  it('is compared with what is left, where anything is spent by the second', () => {
    expect(secondsLeft({ limit: 'usd', atMost: 10, spent: 4, perSecond: 2 }, 1)).toBe(2);
    expect(secondsLeft({ limit: 'usd', atMost: 10, spent: 10, perSecond: 0 }, 1)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('going on with more', () => {
  it.each([
    ['usd', 40, 39, '--set budget.usd=80'],
    ['gpuHours', 0.5, 0.4, '--set budget.gpuHours=1'],
    ['wallClockSeconds', 3600, 3590, '--set budget.wallClock=120m'],
  ] as const)('is offered as a command that is taken as it is: %s', (limit, atMost, spent, said) => {
    const { hint, kind } = budgetReached('run-1', { limit, atMost, spent, perSecond: 1 }, 'why');
    expect(kind).toBe('budget');
    expect(hint).toContain(`simmer resume run-1 ${said}`);
    const [path, value] = said.replace('--set ', '').split('=') as [string, string];
    expect(budgetChangeOf({ [path]: value })).toEqual({ [limit]: 2 * atMost });
  });

  it('is offered with room for what did not fit', () => {
    const standing = { limit: 'usd', atMost: 0.1, spent: 0.05, perSecond: 0 } as const;
    const offered = (needed: number) =>
      budgetReached('run-1', { ...standing, needed }, 'why')
        .hint?.split('=')
        .at(-1);
    expect([0.15, 0.55].map(offered)).toEqual(['0.2', '1.1']);
    // Twice as much, rounded, would be a hair too little.
    const { hint } = budgetReached('run-1', { ...standing, atMost: 1.2324, needed: 2.4648 }, 'why');
    expect(Number(hint?.split('=').at(-1))).toBeGreaterThanOrEqual(2.4648);
  });

  it('takes a limit away with null, and changes nothing else of a run', () => {
    expect(budgetChangeOf({ 'budget.usd': 'null' })).toEqual({ usd: null });
    expect(budgetChangeOf({})).toBeUndefined();
    expect(() => budgetChangeOf({ 'stages.tuned.with.epochs': '2' })).toThrow('keeps its recipe');
    expect(() => budgetChangeOf({ 'budget.usd': 'lots' })).toThrow('--set budget.usd=lots');
    // What a shell makes of a variable that is not set.
    expect(() => budgetChangeOf({ 'budget.usd': '' })).toThrow('there is no value behind the "="');
  });
});
