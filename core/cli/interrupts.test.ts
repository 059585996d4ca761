import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { cancelSignal, dropSignal } from '../engine/cancel-run.js';
import { onCancel, onInterrupt, passOverCancel } from './interrupts.js';
import { leave } from './leave.js';

vi.mock('./leave.js', () => ({ leave: vi.fn() }));

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => {
  vi.useRealTimers();
  vi.mocked(leave).mockClear();
});

it('the first Ctrl-C after a `simmer cancel` asks to stop, and only the second ends the process', () => {
  const reasons: string[] = [];
  using _signals = onInterrupt((reason) => reasons.push(reason));
  using _cancel = onCancel((reason) => reasons.push(reason), vi.fn());
  process.emit(cancelSignal);
  vi.advanceTimersByTime(1000);
  process.emit('SIGINT', 'SIGINT');
  expect(reasons).toEqual(['simmer cancel', 'Ctrl-C']);
  vi.advanceTimersByTime(1000);
  process.emit(cancelSignal);
  expect(leave).not.toHaveBeenCalled();
  process.emit('SIGINT', 'SIGINT');
  expect(leave).toHaveBeenCalledExactlyOnceWith(130);
});

it('a `simmer cancel` that comes as the run ends is passed over', () => {
  const stop = vi.fn();
  const drop = vi.fn();
  onCancel(stop, drop)[Symbol.dispose]();
  passOverCancel();
  expect(process.listenerCount(cancelSignal)).toBe(1);
  expect(process.listenerCount(dropSignal)).toBe(0);
  process.emit(cancelSignal);
  expect(stop).not.toHaveBeenCalled();
});

it('only `simmer cancel --now` drops replies, however often it is canceled', () => {
  const drop = vi.fn();
  using _cancel = onCancel(vi.fn(), drop);
  process.emit(cancelSignal);
  process.emit(cancelSignal);
  expect(drop).not.toHaveBeenCalled();
  process.emit(dropSignal);
  expect(drop).toHaveBeenCalledOnce();
});
