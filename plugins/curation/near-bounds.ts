import type { ShingleSet } from './similarity.js';
import { numbersAt, reserve, startKernel } from './word-kernel.js';

/** Bits of the smallest bitmap: those of a vector of the kernel. */
const fewestBits = 128;
/** For each shingle, at least. With half as many, bitmaps of sets that share few shingles differ in too few bits. */
const bitsOfShingle = 4;

/**
 * How similar sets of shingles can be at most, without a look at their texts. In the bitmap of a set, each shingle flips
 * one bit, by its hash. What two sets share flips the same bits in both, so no more bits differ than shingles do: "Bitmap
 * Filter: Speeding up Exact Set Similarity Joins with Bitwise Operations" (Sandes, Teodoro, Melo, 2017).
 */
export class NearBounds {
  private readonly kernel = startKernel();
  /** Of each set: its shingles, and where its bitmap is in the kernel's memory. The next one begins where it ends. */
  private readonly sizes: number[] = [];
  private readonly places: number[] = [0];
  /** Of the set that is asked about, behind those that are kept: its shingles, and bytes of its bitmap. */
  private size = 0;
  private bytes = 0;

  /** Begins with another set, which is compared with those that are kept. */
  ask(set: ShingleSet): void {
    const bits = 2 ** Math.ceil(Math.log2(Math.max(fewestBits, bitsOfShingle * set.size)));
    this.size = set.size;
    this.bytes = bits / 8;
    const place = this.places[this.sizes.length] as number;
    reserve(this.kernel, place + this.bytes);
    set.flipBits(numbersAt(this.kernel, place, bits / 32).fill(0));
  }

  /** Keeps the set that is asked about. @returns its number, from 0 */
  keep(): number {
    this.places.push((this.places[this.sizes.length] as number) + this.bytes);
    return this.sizes.push(this.size) - 1;
  }

  /** No less than the similarity, as a number too, of the set that is asked about to one that is kept. */
  mostSimilar(number: number): number {
    const { kernel, places, size, bytes } = this;
    const asked = places[this.sizes.length] as number;
    const kept = places[number] as number;
    const keptBytes = (places[number + 1] as number) - kept;
    const keptSize = this.sizes[number] as number;
    const different =
      bytes < keptBytes
        ? kernel.countDifferences(kept, keptBytes, asked, bytes)
        : kernel.countDifferences(asked, bytes, kept, keptBytes);
    const common = Math.min((size + keptSize - different) / 2, size, keptSize);
    return common / (size + keptSize - common);
  }
}
