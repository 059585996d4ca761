import { expect, it } from 'vitest';
import { matchInTime } from './match-in-time.js';

it('gives what was matched, and throws what matching throws', () => {
  expect(matchInTime(/b+/, 'abbc', () => /b+/.exec('abbc')?.[0])).toBe('bb');
  expect(() =>
    matchInTime(/x/, 'x', () => {
      throw new TypeError('no');
    }),
  ).toThrow(TypeError);
});

it('stops a pattern that would go on for hours, names it and the text, and matches the next', () => {
  const endless = /(^(a+)+$)/;
  const text = `${'a'.repeat(40)}!`;
  const startedAt = performance.now();
  expect(() => matchInTime(endless, text, () => endless.test(text))).toThrow(
    expect.objectContaining({ code: 'pattern_too_slow', message: expect.stringContaining('(^(a+)+$)') }),
  );
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect(matchInTime(endless, 'aa', () => endless.test('aa'))).toBe(true);
});
