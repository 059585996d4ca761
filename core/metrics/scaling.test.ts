import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { measureScaling, type ScalingRun } from './scaling.js';

/** The measures as Table 3 of the s1 paper prints them. */
function asInTable3(runs: readonly ScalingRun[]) {
  const { control, scalingPerDoubling, performance } = measureScaling(runs);
  return [
    Math.round((control ?? Number.NaN) * 100),
    Math.round(scalingPerDoubling ?? Number.NaN),
    (performance * 100).toFixed(1),
  ];
}

/** AIME24 has 30 problems, so accuracies are k/30. */
const runs = (
  rows: readonly (readonly [tokens: number, right: number, maximum?: number | undefined, minimum?: number])[],
) =>
  rows.map(([meanTokens, right, maximum, minimum]) => ({
    meanTokens,
    accuracy: right / 30,
    ...(maximum === undefined ? {} : { maximum }),
    ...(minimum === undefined ? {} : { minimum }),
  }));

describe('measureScaling gives Table 3 of the s1 paper from its tables 12 to 14', () => {
  it('token-conditional control', () => {
    const table12 = runs([
      [7939, 8, 1024],
      [7158, 9, 2048],
      [8263, 10, 4096],
      [7108, 10, 8192],
      [7500, 12, 16384],
    ]);
    expect(asInTable3(table12)).toEqual([40, -24, '40.0']);
    expect(measureScaling(table12).scalingPerDoubling).toBeCloseTo(-23.8, 1);
  });

  it('token-conditional control with budget forcing', () => {
    const table12 = runs([
      [1024, 1, 1024],
      [2048, 9, 2048],
      [4031, 10, 4096],
      [5664, 10, 8192],
      [6330, 12, 16384],
    ]);
    expect(asInTable3(table12)).toEqual([100, 13, '40.0']);
  });

  it('step-conditional control, a step counting as 100 tokens', () => {
    const table13 = runs([
      [7252, 10, 1600],
      [6277, 7, 3200],
      [5396, 10, 6400],
      [5552, 11, 12800],
      [7551, 10, 25600],
    ]);
    expect(asInTable3(table13)).toEqual([60, 3, '36.7']);
  });

  it('step-conditional control with budget forcing', () => {
    const table13 = runs([
      [1517, 7, 1600],
      [2963, 7, 3200],
      [4636, 10, 6400],
      [5409, 11, 12800],
      [7551, 10, 25600],
    ]);
    expect(asInTable3(table13)).toEqual([100, 6, '36.7']);
  });

  it('class-conditional control, short below and long above the unprompted length', () => {
    const table14 = runs([
      [8033, 9, 6109],
      [9651, 11, undefined, 6109],
    ]);
    expect(asInTable3(table14)).toEqual([50, 25, '36.7']);
  });
});

describe('measureScaling', () => {
  it('leaves out pairs that think equally long', () => {
    const same = [
      { meanTokens: 100, accuracy: 0.2 },
      { meanTokens: 100, accuracy: 0.6 },
    ];
    expect(measureScaling(same)).toEqual({
      control: null,
      scalingPerToken: null,
      scalingPerDoubling: null,
      performance: 0.6,
    });
  });

  it('does not depend on the order of runs', () => {
    const run = fc.record({
      meanTokens: fc.integer({ min: 1, max: 40_000 }),
      accuracy: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(run, { minLength: 2, maxLength: 6 }), (list) => {
        const forward = measureScaling(list).scalingPerToken;
        const backward = measureScaling([...list].reverse()).scalingPerToken;
        if (forward === null || backward === null) expect(forward).toBe(backward);
        else expect(forward).toBeCloseTo(backward, 6);
      }),
    );
  });
});
