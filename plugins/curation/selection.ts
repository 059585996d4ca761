import { type Random, random } from 'simmerkit';
import { WeightTree } from './weight-tree.js';

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

/** Chooses rows, the same ones for the same options. @param step awaited once for each row that is drawn */
export async function selectRows(
  candidates: readonly Candidate[],
  options: SelectionOptions,
  step: () => Promise<void>,
): Promise<Selection> {
  const chosen = new Map<number, Reason>();
  const limit = options.method === 'all' ? candidates.length : Math.min(options.count, candidates.length);
  for (const index of options.preselected.slice(0, limit)) chosen.set(index, { rule: 'preselected' });
  const pool = candidates.map((_, index) => index).filter((index) => !chosen.has(index));
  const draws = drawOrder(candidates, pool, options, () => chosen.size);
  for (const { index, evidence } of draws) {
    if (chosen.size >= limit) break;
    chosen.set(index, { rule: options.method, ...(evidence === undefined ? {} : { evidence }) });
    await step();
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
  const domainsOf = (names: readonly string[]) => new Domains(names, stream, options.later, taken);
  switch (options.method) {
    case 'all':
      return inOrder(pool);
    case 'longest':
      return inOrder(byLength(candidates, pool), (rank) => ({ evidence: `rank ${rank} by length` }));
    case 'random':
      return inOrder(stream.shuffle(pool));
    case 'diverse':
      return drawByDomain(candidates, pool, domainsOf, (size) => stream.integer(size));
    case 's1':
      return drawByDomain(candidates, pool, domainsOf, (size) => drawRank(stream, size));
  }
}

/** @param more of what stands at a place */
function* inOrder(
  indices: readonly number[],
  more: (at: number) => Omit<Drawn, 'index'> = () => ({}),
): Iterable<Drawn> {
  for (const [at, index] of indices.entries()) yield { index, ...more(at) };
}

/** The domains that still have rows, by name, so that a draw does not depend on the order of rows. */
class Domains {
  private readonly alike: WeightTree;
  private readonly weighted: WeightTree;

  constructor(
    names: readonly string[],
    private readonly stream: Random,
    private readonly later: LaterWeights | undefined,
    private readonly taken: () => number,
  ) {
    this.alike = new WeightTree(names.map(() => 1));
    this.weighted = new WeightTree(names.map((name) => later?.weights.get(name) ?? 0));
  }

  get left(): number {
    return this.alike.total;
  }

  /** Draws one: uniformly, or by later weights once they hold. */
  draw(): number {
    const { stream, later, taken, alike, weighted } = this;
    return later === undefined || taken() < later.after || weighted.total === 0
      ? alike.find(stream.integer(alike.total))
      : weighted.find(stream.next() * weighted.total);
  }

  takeOut(at: number): void {
    this.alike.takeOut(at);
    this.weighted.takeOut(at);
  }
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

interface Ranked {
  readonly rows: readonly number[];
  readonly left: WeightTree;
}

function rankedRows(candidates: readonly Candidate[], rows: readonly number[]): Ranked {
  return { rows: byLength(candidates, rows), left: new WeightTree(rows.map(() => 1)) };
}

/** s1, section 2.2: draw a domain, in it a row by its rank; take it out of the pool; drop empty domains. */
function* drawByDomain(
  candidates: readonly Candidate[],
  pool: readonly number[],
  domainsOf: (names: readonly string[]) => Domains,
  drawFrom: (size: number) => number,
): Iterable<Drawn> {
  const byDomain = new Map<string, number[]>();
  for (const index of pool) {
    const domain = candidates[index]?.domain ?? '';
    const rows = byDomain.get(domain);
    if (rows === undefined) byDomain.set(domain, [index]);
    else rows.push(index);
  }
  const names = [...byDomain.keys()].sort((one, other) => (one < other ? -1 : 1));
  const domains = domainsOf(names);
  /** Rows of the domains that were drawn so far, the longest trace first. */
  const ranked = new Map<string, Ranked>();
  for (let draw = 1; domains.left > 0; draw++) {
    const at = domains.draw();
    const name = names[at] as string;
    const { rows, left } = ranked.get(name) ?? rankedRows(candidates, byDomain.get(name) ?? []);
    ranked.set(name, { rows, left });
    const size = left.total;
    const rank = drawFrom(size);
    const place = left.find(rank);
    left.takeOut(place);
    if (left.total === 0) domains.takeOut(at);
    yield {
      index: rows[place] as number,
      evidence: `draw ${draw}: domain ${JSON.stringify(name)}, rank ${rank} of ${size} by length`,
    };
  }
}

/** A rank below `size` with weight 2^-rank, by inverting its distribution. */
export function drawRank(stream: Pick<Random, 'next'>, size: number): number {
  const rank = Math.floor(-Math.log2(1 - stream.next() * (1 - 2 ** -size)));
  return Math.min(rank, size - 1);
}
