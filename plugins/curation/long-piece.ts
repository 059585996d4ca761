/** A model of byte pairs as the library has it. */
export interface PairModel {
  /** Pairs of tokens, the one that is merged first before the others. Other kinds of models have none. */
  readonly merges?: readonly (readonly [string, string])[];
  readonly end_of_word_suffix?: string | null;
  readonly continuing_subword_suffix?: string | null;
  /** The tokens of a piece. */
  bpe(piece: string): readonly string[];
}

/** Units of UTF-16 from which a piece is long. The library remembers the tokens of shorter ones. */
export const longPiece = 256;

/** Times a rank, plus a place in a piece: in 53 bits, pairs of the same rank by their places. */
const placesOfRank = 2 ** 32;

/**
 * Has a model find the same tokens of long pieces with numbers where the library has objects and texts: for one of a
 * megabyte these take 14 s and 0.8 GB. Some tokenizers take a whole text for one piece.
 */
export function hastenLongPieces(model: PairModel): void {
  const { merges } = model;
  if (merges === undefined || model.end_of_word_suffix || model.continuing_subword_suffix) return;
  const bpe = model.bpe.bind(model);
  let merger: PieceMerger | undefined;
  model.bpe = (piece) => {
    if (piece.length < longPiece) return bpe(piece);
    // Its tables take memory, and most texts have no such piece.
    merger ??= new PieceMerger(merges);
    return merger.tokensOf(piece);
  };
}

/** Knows tokens by numbers of its own: what the merges and a piece are made of need not be in the vocabulary. */
class PieceMerger {
  private readonly numbers = new Map<string, number>();
  private readonly tokens: string[] = [];
  /** Pairs to their ranks, and ranks to the tokens that come of them. */
  private readonly ranks = new Map<number, number>();
  private readonly merged: Int32Array;

  constructor(merges: readonly (readonly [string, string])[]) {
    this.merged = Int32Array.from(merges, ([one, other], rank) => {
      this.ranks.set(pairOf(this.numberOf(one), this.numberOf(other)), rank);
      return this.numberOf(one + other);
    });
  }

  tokensOf(piece: string): readonly string[] {
    const symbols = Int32Array.from(piece as Iterable<string>, (symbol) => this.numberOf(symbol));
    return Array.from(mergedOf(symbols, this.ranks, this.merged), (number) => this.tokens[number] as string);
  }

  private numberOf(token: string): number {
    const known = this.numbers.get(token);
    if (known !== undefined) return known;
    this.numbers.set(token, this.tokens.length);
    return this.tokens.push(token) - 1;
  }
}

/** Merges the pair of the lowest rank, of several the first one, until there is none. @param tokens is overwritten */
function mergedOf(tokens: Int32Array, ranks: ReadonlyMap<number, number>, merged: Int32Array): Int32Array {
  const size = tokens.length;
  const nexts = Int32Array.from(tokens, (_, at) => at + 1);
  const before = Int32Array.from(tokens, (_, at) => at - 1);
  /** Of the pair that begins at a place: its rank, or -1. What the queue has of other pairs is over. */
  const rankAt = new Int32Array(size).fill(-1);
  const queue = new PairQueue(2 * size);
  const rank = (at: number) => {
    const next = nexts[at] as number;
    const found = next < size ? ranks.get(pairOf(tokens[at] as number, tokens[next] as number)) : undefined;
    rankAt[at] = found ?? -1;
    if (found !== undefined) queue.push(found * placesOfRank + at);
  };
  for (let at = 0; at < size; at++) rank(at);
  for (let pair = queue.pop(); pair !== undefined; pair = queue.pop()) {
    const at = pair % placesOfRank;
    const lowest = Math.floor(pair / placesOfRank);
    if (rankAt[at] !== lowest) continue;
    const gone = nexts[at] as number;
    const next = nexts[gone] as number;
    tokens[at] = merged[lowest] as number;
    rankAt[gone] = -1;
    nexts[at] = next;
    if (next < size) before[next] = at;
    rank(at);
    if (at > 0) rank(before[at] as number);
  }
  let left = 0;
  for (let at = 0; at < size; at = nexts[at] as number) tokens[left++] = tokens[at] as number;
  return tokens.subarray(0, left);
}

function pairOf(one: number, other: number): number {
  return one * 2 ** 26 + other;
}

/** Numbers, the smallest first: a binary heap. */
class PairQueue {
  private readonly numbers: Float64Array;
  private size = 0;

  constructor(most: number) {
    this.numbers = new Float64Array(most);
  }

  push(number: number): void {
    const { numbers } = this;
    let at = this.size++;
    for (; at > 0; ) {
      const parent = (at - 1) >> 1;
      if ((numbers[parent] as number) <= number) break;
      numbers[at] = numbers[parent] as number;
      at = parent;
    }
    numbers[at] = number;
  }

  pop(): number | undefined {
    if (this.size === 0) return undefined;
    const { numbers } = this;
    const smallest = numbers[0];
    const last = numbers[--this.size] as number;
    let at = 0;
    for (let child = 1; child < this.size; child = 2 * at + 1) {
      if (child + 1 < this.size && (numbers[child + 1] as number) < (numbers[child] as number)) child++;
      if ((numbers[child] as number) >= last) break;
      numbers[at] = numbers[child] as number;
      at = child;
    }
    numbers[at] = last;
    return smallest;
  }
}
