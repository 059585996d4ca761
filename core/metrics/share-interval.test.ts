import { describe, expect, it } from 'vitest';
import { shareInterval } from './share-interval.js';

describe('the score interval of a share', () => {
  it('is as published for the textbook case of 81 in 263', () => {
    // Newcombe 1998, table I, method 3.
    const [low, high] = shareInterval(81, 263);
    expect(low).toBeCloseTo(0.2553, 4);
    expect(high).toBeCloseTo(0.3662, 4);
  });

  it('stays within 0 and 1, and is no point where all or none are counted', () => {
    expect(shareInterval(0, 5)[0]).toBe(0);
    expect(shareInterval(0, 5)[1]).toBeGreaterThan(0.4);
    expect(shareInterval(5, 5)[1]).toBe(1);
    expect(() => shareInterval(0, 0)).toThrow(RangeError);
  });
});
