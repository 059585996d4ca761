import { random } from 'simmerkit';
import { numbersAt, reserve, startKernel } from './word-kernel.js';
import type { Words } from './words.js';

export interface NearOptions {
  /** Jaccard similarity of the shingles from which two texts are near duplicates, above 0, at most 1. */
  readonly similarity: number;
  /** Words in a shingle. */
  readonly words: number;
  /** Values of a signature. */
  readonly hashes: number;
  readonly seed: number;
}

/** Of pairs that are just as similar as asked for, the share that must be found. */
const leastRecall = 0.99;

/**
 * MinHash signatures in bands (locality-sensitive hashing): texts that agree in one whole band are candidates. A value of
 * two signatures agrees with the probability of the texts' similarity. They are made as "Fast Similarity Sketching"
 * (Dahlgaard, Knudsen, Thorup, FOCS 2017) has it: in each round every shingle goes into one bin, the smallest hash of the
 * first round that reaches a bin is its value, and rounds end when all bins have one. A long text needs one or two
 * rounds, where plain MinHash hashes each shingle for each value.
 */
export class NearSketch {
  /** Values of the signature in a band, and how many bands. */
  readonly bandRows: number;
  readonly bands: number;
  private readonly kernel = startKernel();
  /** Where things are in the kernel's memory: from 0 on the seeds of the rounds, then these. */
  private readonly at: {
    readonly values: number;
    readonly rounds: number;
    readonly keys: number;
    readonly shingles: number;
  };

  constructor(private readonly options: NearOptions) {
    this.bandRows = rowsOfBand(options);
    this.bands = Math.floor(options.hashes / this.bandRows);
    const bins = this.bands * this.bandRows;
    const draw = random(options.seed, 'minhash');
    const seeds = Uint32Array.from({ length: 4 * bins }, () => draw.integer(2 ** 32));
    const values = seeds.byteLength;
    const keys = values + 8 * bins;
    this.at = { values, rounds: values + 4 * bins, keys, shingles: keys + 8 * this.bands };
    reserve(this.kernel, this.at.shingles);
    numbersAt(this.kernel, 0, seeds.length).set(seeds);
  }

  /**
   * Writes the keys of a text's bands, 64 bits each, low and high half in turn. Nothing is written for a text without
   * words: it is similar to none. A text of fewer words than a shingle is one shingle.
   * @param keys gets 2 * bands numbers @param from where in it
   */
  writeKeys(words: Words, keys: Uint32Array, from = 0): void {
    if (words.count === 0) return;
    const { kernel, at, bands, bandRows } = this;
    const shingles = words.hashRuns(Math.min(this.options.words, words.count));
    reserve(kernel, at.shingles + shingles.byteLength);
    numbersAt(kernel, at.shingles, shingles.length).set(shingles);
    kernel.sign(at.shingles, shingles.length / 2, 0, bands * bandRows, at.values, at.rounds);
    kernel.writeBands(at.values, at.rounds, bands, bandRows, at.keys);
    keys.set(numbersAt(kernel, at.keys, 2 * bands), from);
  }
}

/** The longest bands, and so the fewest candidates, that still find enough of the pairs at the threshold. */
function rowsOfBand({ similarity, hashes }: NearOptions): number {
  for (let rows = hashes; rows > 1; rows--) {
    const recall = 1 - (1 - similarity ** rows) ** Math.floor(hashes / rows);
    if (recall >= leastRecall) return rows;
  }
  return 1;
}
