import { type Random, random } from 'simmerkit';

/** What selection knows of a row. */
export interface Candidate {
  readonly domain: string;
  /** Length of the trace. */
  readonly length: number;
}

/** Why a row was taken. */
interface Reason {
  /** "preselected", or the method. */
  readonly rule: string;
  /** How it was drawn; where it was not drawn, nothing. */
  readonly evidence?: string;
}

interface Selection {
  /** Index of the row to why it was taken, in the order of the draws. */
  readonly chosen: ReadonlyMap<number, Reason>;
}

/** From so many rows on, domains are drawn by these weights instead of uniformly, as s1's code does. */
interface LaterWeights {
  readonly after: number;
  /** Domain to its weight; others have none, and are drawn (uniformly) only when no domain with a weight is left. */
  readonly weights: ReadonlyMap<string, number>;
}

export interface SelectionOptions {
  readonly method: 's1' | 'random' | 'diverse' | 'longest' | 'all';
  readonly count: number;
  readonly seed: number;
  /** Indices that are taken first; they count. */
  readonly preselected: readonly number[];
  /** Only for methods that draw domains. */
  readonly later?: LaterWeights;
}

/** Chooses rows, the same ones for the same options. */
export function selectRows(candidates: readonly Candidate[], options: SelectionOptions): Selection {
  const chosen = new Map<number, Reason>();
  const limit = options.method === 'all' ? candidates.length : Math.min(options.count, candidates.length);
  for (const index of options.preselected.slice(0, limit)) chosen.set(index, { rule: 'preselected' });
  const pool = candidates.map((_, index) => index).filter((index) => !chosen.has(index));
  const draws = drawOrder(candidates, pool, options, () => chosen.size);
  for (const { index, evidence } of draws) {
    if (chosen.size >= limit) break;
    chosen.set(index, { rule: options.method, ...(evidence === undefined ? {} : { evidence }) });
  }
  return { chosen };
}

interface Drawn {
  readonly index: number;
  readonly evidence?: string;
}

/** @param taken how many rows are chosen so far */
function drawOrder(
  candidates: readonly Candidate[],
  pool: readonly number[],
  options: SelectionOptions,
  taken: () => number,
): Iterable<Drawn> {
  const stream = random(options.seed, `select ${options.method}`);
  const drawDomain = domainDraw(stream, options.later, taken);
  switch (options.method) {
    case 'all':
      return inOrder(pool);
    case 'longest':
      return inOrder(byLength(candidates, pool), (rank) => ({ evidence: `rank ${rank} by length` }));
    case 'random':
      return inOrder(stream.shuffle(pool));
    case 'diverse':
      return drawByDomain(candidates, pool, drawDomain, (size) => stream.integer(size));
    case 's1':
      return drawByDomain(candidates, pool, drawDomain, (size) => drawRank(stream, size));
  }
}

/** @param more of what stands at a place */
function* inOrder(
  indices: readonly number[],
  more: (at: number) => Omit<Drawn, 'index'> = () => ({}),
): Iterable<Drawn> {
  for (const [at, index] of indices.entries()) yield { index, ...more(at) };
}

/** Draws one of the domains that still have rows: uniformly, or by later weights once they hold. */
function domainDraw(stream: Random, later: LaterWeights | undefined, taken: () => number) {
  return (domains: readonly Domain[]): number => {
    if (later === undefined || taken() < later.after) return stream.integer(domains.length);
    const weights = domains.map(({ name }) => later.weights.get(name) ?? 0);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (sum === 0) return stream.integer(domains.length);
    let left = stream.next() * sum;
    const at = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    // Rounding may leave a hair above the last weight.
    return at >= 0 ? at : weights.findLastIndex((weight) => weight > 0);
  };
}

interface Domain {
  readonly name: string;
  /** Those not drawn yet, the longest trace last: s1 takes the longest, and little moves where one near the end goes. */
  readonly rows: number[];
}

/**
 * Longest first; equally long ones in their order. Sorts lengths, not rows: a million rows would hold up all else for more
 * than a second.
 */
function byLength(candidates: readonly Candidate[], pool: readonly number[]): number[] {
  const ofLength = new Map<number, number[]>();
  for (const index of pool) {
    const length = candidates[index]?.length ?? 0;
    const rows = ofLength.get(length);
    if (rows === undefined) ofLength.set(length, [index]);
    else rows.push(index);
  }
  const lengths = Float64Array.from(ofLength.keys()).sort().reverse();
  return [...lengths].flatMap((length) => ofLength.get(length) ?? []);
}

/** s1, section 2.2: draw a domain, in it a row by its rank; take it out of the pool; drop empty domains. */
function* drawByDomain(
  candidates: readonly Candidate[],
  pool: readonly number[],
  drawDomain: (domains: readonly Domain[]) => number,
  drawFrom: (size: number) => number,
): Iterable<Drawn> {
  const byDomain = new Map<string, number[]>();
  for (const index of pool) {
    const domain = candidates[index]?.domain ?? '';
    const rows = byDomain.get(domain);
    if (rows === undefined) byDomain.set(domain, [index]);
    else rows.push(index);
  }
  // By name, so that the draw does not depend on the order of rows.
  const domains = [...byDomain]
    .map(([name, rows]): Domain => ({ name, rows: byLength(candidates, rows).reverse() }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  for (let draw = 1; domains.length > 0; draw++) {
    const at = drawDomain(domains);
    const { name, rows } = domains[at] as Domain;
    const left = rows.length;
    const rank = drawFrom(left);
    const [index] = rows.splice(left - 1 - rank, 1);
    if (rows.length === 0) domains.splice(at, 1);
    yield {
      index: index as number,
      evidence: `draw ${draw}: domain ${JSON.stringify(name)}, rank ${rank} of ${left} by length`,
    };
  }
}

/** A rank below `size` with weight 2^-rank, by inverting its distribution. */
export function drawRank(stream: Pick<Random, 'next'>, size: number): number {
  const rank = Math.floor(-Math.log2(1 - stream.next() * (1 - 2 ** -size)));
  return Math.min(rank, size - 1);
}
