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

/** Rows that are put in order between two turns of others. */
const rowsATurn = 10_000;

/**
 * Chooses rows, the same ones for the same options.
 * @param step awaited once for each row that is drawn, and with 0 now and then while rows are put in order
 */
export async function selectRows(
  candidates: readonly Candidate[],
  options: SelectionOptions,
  step: (drawn: 0 | 1) => Promise<void>,
): Promise<Selection> {
  const chosen = new Map<number, Reason>();
  const limit = options.method === 'all' ? candidates.length : Math.min(options.count, candidates.length);
  for (const index of options.preselected.slice(0, limit)) chosen.set(index, { rule: 'preselected' });
  const eachRow: EachRow = async (rows, take) => {
    let done = 0;
    for (const row of rows) {
      if (done % rowsATurn === 0) await step(0);
      done += 1;
      take(row);
    }
  };
  const pool: number[] = [];
  await eachRow(candidates.keys(), (index) => {
    if (!chosen.has(index)) pool.push(index);
  });
  const drawing: Drawing = { taken: () => chosen.size, eachRow, turn: () => step(0) };
  for await (const { index, evidence } of drawOrder(candidates, pool, options, drawing)) {
    if (chosen.size >= limit) break;
    chosen.set(index, { rule: options.method, ...(evidence === undefined ? {} : { evidence }) });
    await step(1);
  }
  return { chosen };
}

/** Does something with each of many rows, and lets others have turns meanwhile: of a million rows each look takes long. */
type EachRow = (rows: Iterable<number>, take: (row: number) => void) => Promise<void>;

interface Drawn {
  readonly index: number;
  readonly evidence?: string;
}

interface Drawing {
  /** How many rows are chosen so far. */
  readonly taken: () => number;
  readonly eachRow: EachRow;
  readonly turn: () => Promise<void>;
}

async function* drawOrder(
  candidates: readonly Candidate[],
  pool: readonly number[],
  options: SelectionOptions,
  { taken, eachRow, turn }: Drawing,
): AsyncIterable<Drawn> {
  const stream = random(options.seed, `select ${options.method}`);
  const ranked = (rows: readonly number[]) => byLength(candidates, rows, eachRow);
  const domainsOf = (names: readonly string[]) => new Domains(names, stream, options.later, taken);
  switch (options.method) {
    case 'all':
      return yield* inOrder(pool);
    case 'longest':
      return yield* inOrder(await ranked(pool), (rank) => ({ evidence: `rank ${rank} by length` }));
    case 'random':
      return yield* inOrder(await stream.shuffleInTurns(pool, turn));
    case 'diverse':
    case 's1': {
      const drawFrom = (size: number) => (options.method === 's1' ? drawRank(stream, size) : stream.integer(size));
      return yield* drawByDomain(await byDomain(candidates, pool, eachRow), domainsOf, ranked, drawFrom);
    }
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
async function byLength(
  candidates: readonly Candidate[],
  rows: readonly number[],
  eachRow: EachRow,
): Promise<number[]> {
  const ofLength = await grouped(rows, (index) => candidates[index]?.length ?? 0, eachRow);
  const lengths = Float64Array.from(ofLength.keys()).sort().reverse();
  const sorted: number[] = [];
  await eachRow(rowsOfKeys(ofLength, lengths), (index) => sorted.push(index));
  return sorted;
}

function* rowsOfKeys<Key>(groups: ReadonlyMap<Key, readonly number[]>, keys: Iterable<Key>): Iterable<number> {
  for (const key of keys) yield* groups.get(key) ?? [];
}

function byDomain(
  candidates: readonly Candidate[],
  rows: readonly number[],
  eachRow: EachRow,
): Promise<ReadonlyMap<string, readonly number[]>> {
  return grouped(rows, (index) => candidates[index]?.domain ?? '', eachRow);
}

async function grouped<Key>(
  rows: readonly number[],
  keyOf: (index: number) => Key,
  eachRow: EachRow,
): Promise<Map<Key, number[]>> {
  const groups = new Map<Key, number[]>();
  await eachRow(rows, (index) => {
    const group = groups.get(keyOf(index));
    if (group === undefined) groups.set(keyOf(index), [index]);
    else group.push(index);
  });
  return groups;
}

interface Ranked {
  readonly rows: readonly number[];
  readonly left: WeightTree;
}

/** s1, section 2.2: draw a domain, in it a row by its rank; take it out of the pool; drop empty domains. */
async function* drawByDomain(
  rowsOf: ReadonlyMap<string, readonly number[]>,
  domainsOf: (names: readonly string[]) => Domains,
  rankRows: (rows: readonly number[]) => Promise<readonly number[]>,
  drawFrom: (size: number) => number,
): AsyncIterable<Drawn> {
  const names = [...rowsOf.keys()].sort();
  const domains = domainsOf(names);
  /** Rows of the domains that were drawn so far, the longest trace first. */
  const ranked = new Map<string, Ranked>();
  for (let draw = 1; domains.left > 0; draw++) {
    const at = domains.draw();
    const name = names[at] as string;
    let drawn = ranked.get(name);
    if (drawn === undefined) {
      const rows = await rankRows(rowsOf.get(name) ?? []);
      drawn = { rows, left: new WeightTree(rows.map(() => 1)) };
      ranked.set(name, drawn);
    }
    const { rows, left } = drawn;
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
