import { random } from 'simmerkit';
import { hashNgrams, mix } from './ngram-index.js';

export interface NearOptions {
  /** Jaccard similarity of the shingles from which two texts are near duplicates, above 0, at most 1. */
  readonly similarity: number;
  /** Words in a shingle. */
  readonly words: number;
  /** Hash functions of a signature. */
  readonly hashes: number;
  readonly seed: number;
}

/** A text of the index that is similar. */
export interface Near<Owner> {
  readonly owner: Owner;
  /** Exact Jaccard similarity of the two sets of shingles. */
  readonly similarity: number;
}

/** Of pairs that are just as similar as asked for, the share that the index must find. */
const leastRecall = 0.99;

/**
 * Texts by MinHash signatures in bands (locality-sensitive hashing): a text that agrees with another in one whole band is a
 * candidate, and counts only if the exact similarity of their shingles is high enough, so that no hash can drop a row.
 * Texts of fewer words than a shingle are one shingle; texts without words are similar to nothing.
 */
export class NearIndex<Owner> {
  /** Rows of the signature in a band, and how many bands. */
  readonly bandRows: number;
  readonly bands: number;
  private readonly texts: { readonly words: readonly string[]; readonly owner: Owner }[] = [];
  /** Of each band: its key to the texts with it. */
  private readonly buckets: readonly Map<number, number[]>[];
  private readonly multipliers: Uint32Array;
  private readonly offsets: Uint32Array;

  constructor(private readonly options: NearOptions) {
    this.bandRows = rowsOfBand(options);
    this.bands = Math.floor(options.hashes / this.bandRows);
    this.buckets = Array.from({ length: this.bands }, () => new Map());
    const draw = random(options.seed, 'minhash');
    const draws = () => Uint32Array.from({ length: this.bands * this.bandRows }, () => draw.integer(2 ** 32));
    this.multipliers = draws().map((value) => value | 1);
    this.offsets = draws();
  }

  /** The most similar text of the index that is similar enough; of equally similar ones the first that was added. */
  find(words: readonly string[]): Near<Owner> | undefined {
    return this.search(words, this.keysOf(words));
  }

  /** As `find`; adds the text where there is none. */
  findOrAdd(words: readonly string[], owner: Owner): Near<Owner> | undefined {
    const keys = this.keysOf(words);
    const near = this.search(words, keys);
    if (near === undefined && keys.length > 0) this.add(words, owner, keys);
    return near;
  }

  private search(words: readonly string[], keys: readonly number[]): Near<Owner> | undefined {
    const candidates = new Set<number>();
    for (const [band, key] of keys.entries()) {
      for (const text of this.buckets[band]?.get(key) ?? []) candidates.add(text);
    }
    if (candidates.size === 0) return undefined;
    const shingles = shinglesOf(words, this.options.words);
    let best: Near<Owner> | undefined;
    for (const candidate of [...candidates].sort((one, other) => one - other)) {
      const text = this.texts[candidate] as (typeof this.texts)[number];
      const similarity = jaccard(shingles, shinglesOf(text.words, this.options.words));
      if (similarity < this.options.similarity || similarity <= (best?.similarity ?? 0)) continue;
      best = { owner: text.owner, similarity };
    }
    return best;
  }

  private add(words: readonly string[], owner: Owner, keys: readonly number[]): void {
    const text = this.texts.push({ words, owner }) - 1;
    for (const [band, key] of keys.entries()) {
      const bucket = this.buckets[band] as Map<number, number[]>;
      const texts = bucket.get(key);
      if (texts === undefined) bucket.set(key, [text]);
      else texts.push(text);
    }
  }

  /** A key for each band; none for a text without words. */
  private keysOf(words: readonly string[]): readonly number[] {
    if (words.length === 0) return [];
    const hashes = hashNgrams(words, Math.min(this.options.words, words.length));
    const { multipliers, offsets } = this;
    const signature = new Uint32Array(multipliers.length).fill(0xffffffff);
    for (let at = 0; at < hashes.length; at += 2) {
      const shingle = (hashes[at] as number) ^ (hashes[at + 1] as number);
      for (let row = 0; row < signature.length; row++) {
        const hash = mix(Math.imul(shingle, multipliers[row] as number) + (offsets[row] as number));
        if (hash < (signature[row] as number)) signature[row] = hash;
      }
    }
    return Array.from({ length: this.bands }, (_, band) => bandKey(signature, band * this.bandRows, this.bandRows));
  }
}

/** The exact similarity of two sets of shingles. */
export function jaccard(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  const [small, large] = one.size <= other.size ? [one, other] : [other, one];
  let common = 0;
  for (const shingle of small) if (large.has(shingle)) common++;
  return common / (one.size + other.size - common);
}

/** Runs of so many words; the whole text where it has fewer. */
export function shinglesOf(words: readonly string[], length: number): Set<string> {
  const shingles = new Set<string>();
  const size = Math.min(length, words.length);
  for (let at = 0; at + size <= words.length && size > 0; at++) shingles.add(words.slice(at, at + size).join(' '));
  return shingles;
}

/** The longest bands, and so the fewest candidates, that still find enough of the pairs at the threshold. */
function rowsOfBand({ similarity, hashes }: NearOptions): number {
  for (let rows = hashes; rows > 1; rows--) {
    const recall = 1 - (1 - similarity ** rows) ** Math.floor(hashes / rows);
    if (recall >= leastRecall) return rows;
  }
  return 1;
}

/** 53 bits of the band's rows: two bands that agree by chance only make a candidate too many. */
function bandKey(signature: Uint32Array, from: number, rows: number): number {
  let low = 0;
  let high = 0;
  for (let row = from; row < from + rows; row++) {
    low = mix(Math.imul(low, 31) + (signature[row] as number));
    high = mix(Math.imul(high, 37) ^ (signature[row] as number));
  }
  return low * 2 ** 21 + (high >>> 11);
}
