import { runningText } from './compared-text.js';
import { NearBounds } from './near-bounds.js';
import type { NearOptions, NearSketch } from './near-sketch.js';
import { ShingleSet } from './similarity.js';
import type { TextStore } from './text-store.js';
import { scanWords, type Words } from './words.js';

/** A text of the index that is similar. */
interface Near {
  /** Its number in the store. */
  readonly text: number;
  /** Exact Jaccard similarity of the two sets of shingles. */
  readonly similarity: number;
}

/**
 * Texts of a store by the keys of their bands: one that shares a key is a candidate, and counts only if the exact
 * similarity is high enough, so that no hash can drop a row.
 */
export class NearIndex {
  /** Of each band: its key to the texts with it, by their numbers here. */
  private readonly buckets: readonly Map<number, number[]>[];
  private readonly bounds = new NearBounds();
  /** Of each number here: that in the store, and that of the last text it was a candidate for. */
  private readonly numbers: number[] = [];
  private readonly lastFor: number[] = [];

  constructor(
    private readonly options: Pick<NearOptions, 'similarity' | 'words'>,
    sketch: Pick<NearSketch, 'bands'>,
    private readonly texts: TextStore,
  ) {
    this.buckets = Array.from({ length: sketch.bands }, () => new Map());
  }

  /**
   * The most similar text of the index that is similar enough; of equally similar ones the first that was added. Where
   * there is none, this text is added.
   * @param text its number in the store, larger than those before
   * @param keys of its bands, as the sketch writes them
   */
  findOrAdd(text: number, words: Words, keys: Uint32Array): Near | undefined {
    if (words.count === 0) return undefined;
    const shingles = new ShingleSet(words, this.options.words);
    this.bounds.ask(shingles);
    let best: Near | undefined;
    for (const { number, mostSimilar } of this.candidates(text, keys)) {
      if (mostSimilar <= (best?.similarity ?? 0)) continue;
      const other = this.numbers[number] as number;
      const similarity = shingles.similarityTo(
        new ShingleSet(scanWords(runningText(this.texts.get(other))), this.options.words),
      );
      if (similarity < this.options.similarity || similarity <= (best?.similarity ?? 0)) continue;
      best = { text: other, similarity };
    }
    if (best === undefined) this.add(text, keys);
    return best;
  }

  /** Texts that share a band and may be similar enough, in their order. */
  private candidates(text: number, keys: Uint32Array): readonly Candidate[] {
    const candidates: Candidate[] = [];
    for (const [band, bucket] of this.buckets.entries()) {
      // Texts of one template share bands with thousands of others.
      for (const number of bucket.get(keyOf(keys, band)) ?? []) {
        if (this.lastFor[number] === text) continue;
        this.lastFor[number] = text;
        const mostSimilar = this.bounds.mostSimilar(number);
        if (mostSimilar >= this.options.similarity) candidates.push({ number, mostSimilar });
      }
    }
    return candidates.sort((one, other) => one.number - other.number);
  }

  private add(text: number, keys: Uint32Array): void {
    const number = this.bounds.keep();
    this.numbers.push(text);
    this.lastFor.push(text);
    for (const [band, bucket] of this.buckets.entries()) {
      const key = keyOf(keys, band);
      const numbers = bucket.get(key);
      if (numbers === undefined) bucket.set(key, [number]);
      else numbers.push(number);
    }
  }
}

interface Candidate {
  readonly number: number;
  readonly mostSimilar: number;
}

/** 53 bits: two bands that agree by chance only make a candidate too many. */
function keyOf(keys: Uint32Array, band: number): number {
  return (keys[2 * band] as number) * 2 ** 21 + ((keys[2 * band + 1] as number) >>> 11);
}
