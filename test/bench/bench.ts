/** What a bench found. */
export interface BenchResult {
  /** `vs-PEER`: ours over theirs, such that higher is better for us. */
  readonly ratios: Readonly<Record<string, number>>;
  readonly [figure: string]: unknown;
}

/** A bench: `NAME.bench.ts` exports one as `bench`. Prints what people want to see; the result is printed after it. */
export type Bench = (args: readonly string[]) => Promise<BenchResult>;

/** The middle value; the mean of the two middle ones of an even number. @throws RangeError where there is none */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  if (low === undefined || high === undefined) throw new RangeError('there is no median of nothing');
  return (low + high) / 2;
}
