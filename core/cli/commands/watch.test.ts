import { setImmediate } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { openWorkspace } from '../open-workspace.js';
import { watch } from './watch.js';

vi.mock('../open-workspace.js', () => ({ openWorkspace: vi.fn() }));
// Each second that the watch waits for is over in a turn.
vi.mock('node:timers/promises', async (original) => {
  const timers = await original<typeof import('node:timers/promises')>();
  return { ...timers, setTimeout: () => timers.setImmediate() };
});

const event = (sequence: number, type: string) => ({ runId: 'long', sequence, type, data: {} }) as Event;

it('a run that has ended is no abandoned one, however long its earlier events take to be counted in', async () => {
  const shown: number[] = [];
  vi.mocked(openWorkspace).mockResolvedValue({
    find: async () => ({ runId: 'long', status: 'completed', events: 9 }) as RunSummary,
    isHeld: async () => false,
    async *briefHistory() {
      for (let turn = 0; turn < 100; turn += 1) await setImmediate();
      yield event(1, 'run.created');
    },
    async *watch(_: RunSummary, { signal }: { readonly signal: AbortSignal }) {
      if (!signal.aborted) yield event(9, 'run.completed');
    },
    console: () => ({ onEvent: ({ sequence }: Event) => void shown.push(sequence) }),
    [Symbol.asyncDispose]: async () => {},
  } as never);
  expect(await watch('long', { from: 9 })).toBe(exitCodes.ok);
  expect(shown).toEqual([1, 9]);
});

it('one that is stopped while earlier events are counted in counts in no more of them', async () => {
  const shown: number[] = [];
  vi.mocked(openWorkspace).mockResolvedValue({
    find: async () => ({ runId: 'long', status: 'running', events: 9 }) as RunSummary,
    isHeld: async () => true,
    async *briefHistory() {
      for (let sequence = 1; sequence < 9; sequence += 1) {
        if (sequence === 3) process.emit('SIGINT');
        yield event(sequence, 'step.logged');
      }
    },
    async *watch() {},
    console: () => ({ onEvent: ({ sequence }: Event) => void shown.push(sequence) }),
    [Symbol.asyncDispose]: async () => {},
  } as never);
  expect(await watch('long', { from: 9 })).toBe(exitCodes.interrupted);
  expect(shown).toEqual([1, 2]);
});

it('a run that ended before the first event that is asked for is told to have ended', async () => {
  using said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  vi.mocked(openWorkspace).mockResolvedValue({
    find: async () => ({ runId: 'short', status: 'interrupted', events: 9 }) as RunSummary,
    isHeld: async () => false,
    async *briefHistory() {},
    async *watch() {
      yield event(9, 'run.interrupted');
    },
    console: () => ({ onEvent: () => undefined }),
    [Symbol.asyncDispose]: async () => {},
  } as never);
  expect(await watch('short', { from: 12 })).toBe(exitCodes.interrupted);
  expect(said.mock.calls.join('')).toBe('Run short ended with event 9 (run.interrupted): there is none from 12 on.\n');
});
