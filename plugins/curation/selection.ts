import { type Random, random } from 'simmerkit';

/** What selection knows of a row. */
export interface Candidate {
  readonly domain: string;
  /** Length of the trace. */
  readonly length: number;
}

export interface Selection {
  /** Index of the row to why it was taken. */
  readonly chosen: ReadonlyMap<number, string>;
}

export interface SelectionOptions {
  readonly method: 's1' | 'random' | 'diverse' | 'longest' | 'all';
  readonly count: number;
  readonly seed: number;
  /** Indices that are taken first; they count. */
  readonly preselected: readonly number[];
}

/** Chooses rows, the same ones for the same options. */
export function selectRows(candidates: readonly Candidate[], options: SelectionOptions): Selection {
  const chosen = new Map<number, string>();
  const limit = options.method === 'all' ? candidates.length : Math.min(options.count, candidates.length);
  for (const index of options.preselected.slice(0, limit)) chosen.set(index, 'preselected');
  const pool = candidates.map((_, index) => index).filter((index) => !chosen.has(index));
  const draws = drawOrder(candidates, pool, options);
  for (const index of draws) {
    if (chosen.size >= limit) break;
    chosen.set(index, options.method);
  }
  return { chosen };
}

function drawOrder(
  candidates: readonly Candidate[],
  pool: readonly number[],
  options: SelectionOptions,
): Iterable<number> {
  const stream = random(options.seed, `select ${options.method}`);
  switch (options.method) {
    case 'all':
      return pool;
    case 'longest':
      return byLength(candidates, pool);
    case 'random':
      return stream.shuffle(pool);
    case 'diverse':
      return drawByDomain(candidates, pool, stream, (size) => stream.integer(size));
    case 's1':
      return drawByDomain(candidates, pool, stream, (size) => drawRank(stream, size));
  }
}

/** Longest first; equally long ones in their order. */
function byLength(candidates: readonly Candidate[], pool: readonly number[]): number[] {
  const lengthOf = (index: number) => candidates[index]?.length ?? 0;
  return [...pool].sort((one, other) => lengthOf(other) - lengthOf(one) || one - other);
}

/** s1, section 2.2: draw a domain uniformly, in it a row by its rank; take it out of the pool; drop empty domains. */
function* drawByDomain(
  candidates: readonly Candidate[],
  pool: readonly number[],
  stream: Random,
  drawFrom: (size: number) => number,
): Iterable<number> {
  const byDomain = new Map<string, number[]>();
  for (const index of byLength(candidates, pool)) {
    const domain = candidates[index]?.domain ?? '';
    const rows = byDomain.get(domain) ?? [];
    rows.push(index);
    byDomain.set(domain, rows);
  }
  // By name, so that the draw does not depend on the order of rows.
  const domains = [...byDomain.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, rows]) => rows);
  while (domains.length > 0) {
    const at = stream.integer(domains.length);
    const rows = domains[at] as number[];
    const [index] = rows.splice(drawFrom(rows.length), 1);
    if (rows.length === 0) domains.splice(at, 1);
    yield index as number;
  }
}

/** A rank below `size` with weight 2^-rank, by inverting its distribution. */
export function drawRank(stream: Pick<Random, 'next'>, size: number): number {
  const rank = Math.floor(-Math.log2(1 - stream.next() * (1 - 2 ** -size)));
  return Math.min(rank, size - 1);
}
