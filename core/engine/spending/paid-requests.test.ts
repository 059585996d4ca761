import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PaidRequests } from './paid-requests.js';

let requests: PaidRequests;
beforeEach(() => {
  vi.useFakeTimers();
  requests = new PaidRequests();
});
afterEach(() => void vi.useRealTimers());

const begin = (seconds?: number) => requests.begin(() => {}, seconds);
const minutes = (count: number) => 60_000 * count;

it('waits for each as long as it may take, from when it was sent', () => {
  begin(60 * 30);
  vi.advanceTimersByTime(minutes(10));
  begin(60 * 5)();
  begin(60 * 2);
  expect(requests.waitForLast()).toEqual({ count: 2, seconds: 60 * 20 });
  vi.advanceTimersByTime(minutes(20) - 1);
  expect(requests.dropped.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(requests.dropped.aborted).toBe(true);
});

it('waits for 8 minutes where nobody said how long it may take', () => {
  begin();
  expect(requests.waitForLast()).toEqual({ count: 1, seconds: 60 * 8 });
});

it('waits for no longer than at most, also where it waits already', () => {
  begin(60 * 30);
  requests.waitForLast();
  requests.waitAtMost(60 * 8);
  vi.advanceTimersByTime(minutes(8) - 1);
  expect(requests.dropped.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(requests.dropped.aborted).toBe(true);
});
