import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SteadyClock } from './steady-clock.js';

const noon = Date.parse('2026-01-01T12:00:00Z');
const hour = 3_600_000;
let [day, passed] = [noon, 0];
beforeEach(() => {
  [day, passed] = [noon, 0];
  vi.spyOn(Date, 'now').mockImplementation(() => day);
  vi.spyOn(performance, 'now').mockImplementation(() => passed);
});
afterEach(() => void vi.restoreAllMocks());

it('goes on where the clock is set back, and is the clock again once that is put right', () => {
  const clock = new SteadyClock();
  const after = (milliseconds: number, jump: number) => {
    passed += milliseconds;
    day += milliseconds + jump;
    return clock.now() - noon;
  };
  expect(after(1000, 0)).toBe(1000);
  expect(after(1000, -5 * hour)).toBe(2000);
  expect(after(1000, -hour)).toBe(3000);
  expect(after(1000, 6 * hour)).toBe(4000);
  // Put right a little at a time.
  expect(after(1000, -200)).toBe(4800);
  // The machine slept.
  expect(after(1000, hour)).toBe(hour + 5800);
});
