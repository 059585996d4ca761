import { random } from 'simmerkit';
import { mix, type Words } from './words.js';

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
const empty = 0xffffffff;

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
  private readonly factors: Uint32Array;
  private readonly offsets: Uint32Array;
  private readonly values: Uint32Array;
  private readonly rounds: Uint32Array;

  constructor(private readonly options: NearOptions) {
    this.bandRows = rowsOfBand(options);
    this.bands = Math.floor(options.hashes / this.bandRows);
    const bins = this.bands * this.bandRows;
    const draw = random(options.seed, 'minhash');
    const draws = () => Uint32Array.from({ length: 2 * bins }, () => draw.integer(2 ** 32));
    this.factors = draws().map((value) => value | 1);
    this.offsets = draws();
    this.values = new Uint32Array(bins);
    this.rounds = new Uint32Array(bins);
  }

  /**
   * Writes the keys of a text's bands, 64 bits each, low and high half in turn. Nothing is written for a text without
   * words: it is similar to none. A text of fewer words than a shingle is one shingle.
   * @param keys gets 2 * bands numbers @param from where in it
   */
  writeKeys(words: Words, keys: Uint32Array, from = 0): void {
    if (words.count === 0) return;
    this.sign(words.hashRuns(Math.min(this.options.words, words.count)));
    const { values, rounds, bandRows, bands } = this;
    for (let band = 0; band < bands; band++) {
      let low = 0;
      let high = 0;
      for (let bin = band * bandRows; bin < (band + 1) * bandRows; bin++) {
        const value = (values[bin] as number) ^ Math.imul(rounds[bin] as number, 0x9e3779b1);
        low = mix(Math.imul(low, 31) + value);
        high = mix(Math.imul(high, 37) ^ value);
      }
      keys[from + 2 * band] = low;
      keys[from + 2 * band + 1] = high;
    }
  }

  private sign(shingles: Uint32Array): void {
    const { values, rounds, factors, offsets } = this;
    const bins = values.length;
    rounds.fill(empty);
    let unfilled = bins;
    for (let round = 0; round < 2 * bins && unfilled > 0; round++) {
      const factor = factors[round] as number;
      const offset = offsets[round] as number;
      for (let at = 0; at < shingles.length; at += 2) {
        const value = mix(Math.imul((shingles[at] as number) ^ offset, factor));
        // From the second half on, a round is for one bin, so that none stays empty.
        const bin = round < bins ? binOf(mix(value ^ (shingles[at + 1] as number)), bins) : round - bins;
        if (rounds[bin] === empty) {
          rounds[bin] = round;
          values[bin] = value;
          unfilled--;
        } else if (rounds[bin] === round && value < (values[bin] as number)) values[bin] = value;
      }
    }
  }
}

/** Uniform over the bins. */
function binOf(hash: number, bins: number): number {
  return Math.floor((hash / 2 ** 32) * bins);
}

/** The longest bands, and so the fewest candidates, that still find enough of the pairs at the threshold. */
function rowsOfBand({ similarity, hashes }: NearOptions): number {
  for (let rows = hashes; rows > 1; rows--) {
    const recall = 1 - (1 - similarity ** rows) ** Math.floor(hashes / rows);
    if (recall >= leastRecall) return rows;
  }
  return 1;
}
