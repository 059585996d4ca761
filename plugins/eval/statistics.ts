import { random, shareInterval } from 'simmerkit';

/** Differences of shares that are equal are so up to this. */
const rounding = 1e-12;

/** A mean with the bounds of its interval. */
interface Estimate {
  readonly mean: number;
  readonly interval: readonly [number, number];
}

export interface BootstrapOptions {
  /** s1 uses 10,000 (App. C). */
  readonly draws: number;
  readonly seed: number;
  /** Separates this interval's random stream from others of the same seed. */
  readonly purpose: string;
  /**
   * The least and the most that a value can be.
   * @default [0, 1]
   */
  readonly range?: readonly [number, number];
}

/**
 * The mean of values and its 95% percentile bootstrap interval, resampling items. Given the differences of two
 * measurements of the same items, it is the paired bootstrap.
 * @throws RangeError where there are no values
 */
export function bootstrapMean(values: Float64Array, options: BootstrapOptions): Estimate {
  const count = values.length;
  if (count === 0) throw new RangeError('cannot bootstrap from no values');
  const first = values[0] as number;
  if (values.every((value) => Math.abs(value - first) < rounding)) {
    return { mean: first, interval: intervalOfEqual(first, count, options.range ?? [0, 1]) };
  }
  const nextIndex = indexStream(options, count);
  const means = new Float64Array(options.draws);
  for (let draw = 0; draw < options.draws; draw++) {
    let sum = 0;
    for (let item = 0; item < count; item++) sum += values[nextIndex()] as number;
    means[draw] = sum / count;
  }
  means.sort();
  const tail = (1 - 0.95) / 2;
  return { mean: mean(values), interval: [quantile(means, tail), quantile(means, 1 - tail)] };
}

/**
 * Resampling equal values shows no spread, and proves none. The score interval (Wilson 1927) of 0 of `count` bounds the
 * share of items that have another value; how far they can move the mean, the range says. For shares of 0 or 1 that is
 * the score interval itself; for differences of 0 it is the share of items that may differ, either way.
 */
function intervalOfEqual(value: number, count: number, [least, most]: readonly [number, number]): [number, number] {
  const [, others] = shareInterval(0, count);
  return [value + others * (least - value), value + others * (most - value)];
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] as number;
  return sum / values.length;
}

/** The quantile of ascending values, interpolated linearly (as numpy's default). */
export function quantile(ascending: ArrayLike<number>, share: number): number {
  const position = share * (ascending.length - 1);
  const below = Math.floor(position);
  const low = ascending[below] as number;
  const high = ascending[Math.min(below + 1, ascending.length - 1)] as number;
  return low + (high - low) * (position - below);
}

/**
 * Indices below `count`. The generator of `random` (xoshiro128**), but with its state in local variables: millions of
 * draws an interval make the general one the stage's whole time.
 */
function indexStream(options: BootstrapOptions, count: number): () => number {
  const seeds = random(options.seed, `bootstrap ${options.purpose}`);
  let s0 = seeds.integer(2 ** 32);
  let s1 = seeds.integer(2 ** 32);
  let s2 = seeds.integer(2 ** 32);
  let s3 = seeds.integer(2 ** 32) | 1;
  return () => {
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = (s3 << 11) | (s3 >>> 21);
    return Math.floor((result / 2 ** 32) * count);
  };
}
