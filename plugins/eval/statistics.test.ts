import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootstrapMean, quantile } from './statistics.js';

const options = { draws: 10_000, seed: 7, purpose: 'test' };

describe('bootstrapMean', () => {
  it('covers the mean with about the normal approximation for a proportion', () => {
    const values = Float64Array.from({ length: 200 }, (_, index) => (index < 120 ? 1 : 0));
    const { mean, interval } = bootstrapMean(values, options);
    const halfWidth = 1.96 * Math.sqrt((0.6 * 0.4) / 200);
    expect(mean).toBeCloseTo(0.6, 12);
    expect(interval[0]).toBeCloseTo(0.6 - halfWidth, 1.7);
    expect(interval[1]).toBeCloseTo(0.6 + halfWidth, 1.7);
  });

  it('gives the same interval for the same seed and another for another purpose', () => {
    const values = Float64Array.from({ length: 50 }, (_, index) => Math.sin(index));
    expect(bootstrapMean(values, options)).toEqual(bootstrapMean(values, options));
    expect(bootstrapMean(values, { ...options, purpose: 'other' }).interval).not.toEqual(
      bootstrapMean(values, options).interval,
    );
  });

  it('resamples every item equally often', () => {
    const draws = 20_000;
    for (let item = 0; item < 10; item++) {
      const only = new Float64Array(10);
      only[item] = 1;
      const shares = bootstrapMean(only, { ...options, draws });
      expect(shares.interval).toEqual([0, 0.3]);
    }
  });

  it('claims no certainty from equal values', () => {
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true }), fc.integer({ min: 1, max: 1000 }), (value, count) => {
        const { mean, interval } = bootstrapMean(new Float64Array(count).fill(value), { ...options, range: [-1, 1] });
        expect(mean).toBe(value);
        expect(interval[1] - interval[0]).toBeCloseTo((2 * 1.96 ** 2) / (count + 1.96 ** 2), 3);
        expect(interval[0]).toBeGreaterThanOrEqual(-1);
        expect(interval[1]).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('has the score interval where all of 16 are wrong, or all right', () => {
    const none = bootstrapMean(new Float64Array(16), options).interval;
    expect(none[0]).toBe(0);
    expect(none[1]).toBeCloseTo(0.194, 3);
    const all = bootstrapMean(new Float64Array(16).fill(1), options).interval;
    expect(all[0]).toBeCloseTo(0.806, 3);
    expect(all[1]).toBe(1);
  });

  it('lets as many differ either way where no problem of 16 did', () => {
    const { interval } = bootstrapMean(new Float64Array(16), { ...options, range: [-1, 1] });
    expect(interval[0]).toBeCloseTo(-0.194, 3);
    expect(interval[1]).toBeCloseTo(0.194, 3);
  });

  it('refuses no values', () => {
    expect(() => bootstrapMean(new Float64Array(0), options)).toThrow('no values');
  });
});

describe('quantile', () => {
  it('interpolates as numpy does', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([1, 2, 3, 4], 0.25)).toBe(1.75);
    expect(quantile([5], 0.975)).toBe(5);
  });
});
