import { runningText } from './compared-text.js';
import type { NearOptions, NearSketch } from './near-sketch.js';
import { similarityTo } from './similarity.js';
import type { TextStore } from './text-store.js';
import { scanWords, type Words } from './words.js';

/** A text of the index that is similar. */
interface Near {
  /** As `add` was given it. */
  readonly text: number;
  /** Exact Jaccard similarity of the two sets of shingles. */
  readonly similarity: number;
}

/**
 * Texts of a store by the keys of their bands: one that shares a key is a candidate, and counts only if the exact
 * similarity is high enough, so that no hash can drop a row.
 */
export class NearIndex {
  /** Of each band: its key to the texts with it. */
  private readonly buckets: readonly Map<number, number[]>[];

  constructor(
    private readonly options: Pick<NearOptions, 'similarity' | 'words'>,
    sketch: Pick<NearSketch, 'bands'>,
    private readonly texts: TextStore,
  ) {
    this.buckets = Array.from({ length: sketch.bands }, () => new Map());
  }

  /**
   * The most similar text of the index that is similar enough; of equally similar ones the first that was added.
   * @param keys of its bands, as the sketch writes them
   */
  find(words: Words, keys: Uint32Array): Near | undefined {
    if (words.count === 0) return undefined;
    const candidates = new Set<number>();
    for (const [band, bucket] of this.buckets.entries()) {
      for (const text of bucket.get(keyOf(keys, band)) ?? []) candidates.add(text);
    }
    // Texts of one template have thousands of candidates.
    const similarityOf = similarityTo(words, this.options.words);
    let best: Near | undefined;
    for (const text of [...candidates].sort((one, other) => one - other)) {
      const similarity = similarityOf(scanWords(runningText(this.texts.get(text))));
      if (similarity >= this.options.similarity && similarity > (best?.similarity ?? 0)) best = { text, similarity };
    }
    return best;
  }

  /** @param text its number in the store, larger than those before */
  add(text: number, words: Words, keys: Uint32Array): void {
    if (words.count === 0) return;
    for (const [band, bucket] of this.buckets.entries()) {
      const key = keyOf(keys, band);
      const texts = bucket.get(key);
      if (texts === undefined) bucket.set(key, [text]);
      else texts.push(text);
    }
  }
}

/** 53 bits: two bands that agree by chance only make a candidate too many. */
function keyOf(keys: Uint32Array, band: number): number {
  return (keys[2 * band] as number) * 2 ** 21 + ((keys[2 * band + 1] as number) >>> 11);
}
