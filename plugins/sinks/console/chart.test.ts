import { describe, expect, it } from 'vitest';
import { progressBar, sparkline } from './chart.js';

describe('a curve in one line', () => {
  it('goes from the greatest to the least value', () =>
    expect(sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8)).toBe('█▇▆▅▄▃▂▁'));
  it('is as wide as it may be', () =>
    expect(
      sparkline(
        Array.from({ length: 1000 }, (_, i) => i),
        10,
      ),
    ).toHaveLength(10));
  it('is flat where nothing changes', () => expect(sparkline([2, 2, 2], 10)).toBe('▁▁▁'));
  it('is empty without values', () => expect(sparkline([], 10)).toBe(''));
});

describe('a progress bar', () => {
  it('fills by the share', () => expect(progressBar(0.25, 8)).toEqual(['━━', '──────']));
  it('never grows beyond its width', () => expect(progressBar(1.7, 4)).toEqual(['━━━━', '']));
});
