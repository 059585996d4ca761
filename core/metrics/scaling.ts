/** One run of a benchmark at one setting: how long it thought on average, how often it was right, what it was allowed. */
export interface ScalingRun {
  readonly meanTokens: number;
  /** 0 to 1. */
  readonly accuracy: number;
  /** What is held against the limits where it is not the tokens: e.g. a number of steps. */
  readonly controlled?: number;
  /** Limits that thinking was asked to keep; absent is none. */
  readonly maximum?: number;
  readonly minimum?: number;
}

/** s1's three measures of test-time scaling, section 3.2 of the paper. */
export interface ScalingMeasures {
  /** Share of the runs with limits that keep them; null where none has limits. */
  readonly control: number | null;
  /** Mean over pairs of runs of the slope of accuracy in percentage points over tokens; null without such a pair. */
  readonly scalingPerToken: number | null;
  /** The same over log2(tokens): the only reading that gives the published values. */
  readonly scalingPerDoubling: number | null;
  /** Best accuracy, 0 to 1. */
  readonly performance: number;
}

/** @throws RangeError where there are no runs */
export function measureScaling(runs: readonly ScalingRun[]): ScalingMeasures {
  if (runs.length === 0) throw new RangeError('cannot measure the scaling of no runs');
  const limited = runs.filter((run) => run.maximum !== undefined || run.minimum !== undefined);
  const kept = limited.filter(({ controlled, meanTokens, maximum, minimum }) => {
    const value = controlled ?? meanTokens;
    return (maximum === undefined || value <= maximum) && (minimum === undefined || value >= minimum);
  });
  return {
    control: limited.length === 0 ? null : kept.length / limited.length,
    scalingPerToken: meanSlope(runs, (tokens) => tokens),
    scalingPerDoubling: meanSlope(runs, Math.log2),
    performance: Math.max(...runs.map((run) => run.accuracy)),
  };
}

/** Pairs that think equally long have no slope and are left out. */
function meanSlope(runs: readonly ScalingRun[], scale: (tokens: number) => number): number | null {
  const slopes: number[] = [];
  for (const [index, first] of runs.entries()) {
    for (const second of runs.slice(index + 1)) {
      const run = scale(second.meanTokens) - scale(first.meanTokens);
      if (run !== 0 && Number.isFinite(run)) slopes.push((100 * (second.accuracy - first.accuracy)) / run);
    }
  }
  return slopes.length === 0 ? null : slopes.reduce((sum, slope) => sum + slope, 0) / slopes.length;
}
