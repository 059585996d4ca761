import type { Facts } from 'simmerkit';

type Input = Facts | readonly Facts[] | undefined;

/** What is known of an input that is one artifact. */
export function factsOf(input: Input): Facts {
  return [input].flat()[0] ?? {};
}

/** How many rows an input has, at most; undefined where that is not known yet. */
export function rowsOf(input: Input): number | undefined {
  const { rows } = factsOf(input);
  return typeof rows === 'number' ? rows : undefined;
}

/** What a stage makes that keeps some rows and drops others: no more than there were. */
export function sieveFacts(input: Input, most = Number.POSITIVE_INFINITY): Readonly<Record<string, Facts>> {
  const facts = factsOf(input);
  const rows = rowsOf(input);
  if (rows === undefined) return { dataset: facts };
  return { dataset: { ...facts, rows: Math.min(rows, most), isAtMost: true }, decisions: { rows } };
}
