import type { ShingleSet } from './similarity.js';
import { numbersAt, reserve, startKernel } from './word-kernel.js';

/** Bits of the smallest bitmap: those of a vector of the kernel. */
const fewestBits = 128;
/** For each shingle, at least. With half as many, bitmaps of sets that share few shingles differ in too few bits. */
const bitsOfShingle = 4;

interface Bitmap {
  /** Shingles of its set. */
  readonly size: number;
  /** Where it is in the kernel's memory, and how long, in bytes. */
  readonly place: number;
  readonly bytes: number;
}

/**
 * How similar sets of shingles can be at most, without a look at their texts. In the bitmap of a set, each shingle flips
 * one bit, by its hash. What two sets share flips the same bits in both, so no more bits differ than shingles do: "Bitmap
 * Filter: Speeding up Exact Set Similarity Joins with Bitwise Operations" (Sandes, Teodoro, Melo, 2017).
 */
export class NearBounds {
  private readonly kernel = startKernel();
  private readonly bitmaps: Bitmap[] = [];
  /** Behind all that are kept. */
  private asked: Bitmap = { size: 0, place: 0, bytes: 0 };

  /** Begins with another set, which is compared with those that are kept. */
  ask(set: ShingleSet): void {
    const { size } = set;
    const bits = 2 ** Math.ceil(Math.log2(Math.max(fewestBits, bitsOfShingle * size)));
    const last = this.bitmaps.at(-1);
    const place = last === undefined ? 0 : last.place + last.bytes;
    this.asked = { size, place, bytes: bits / 8 };
    reserve(this.kernel, place + bits / 8);
    const words = numbersAt(this.kernel, place, bits / 32).fill(0);
    for (const hash of set.lowHashes()) {
      const word = (hash & (bits - 1)) >>> 5;
      words[word] = (words[word] as number) ^ (1 << (hash & 31));
    }
  }

  /** Keeps the set that is asked about. @returns its number, from 0 */
  keep(): number {
    return this.bitmaps.push(this.asked) - 1;
  }

  /** No less than the similarity, as a number too, of the set that is asked about to one that is kept. */
  mostSimilar(number: number): number {
    const { asked, kernel } = this;
    const kept = this.bitmaps[number] as Bitmap;
    const [long, short] = asked.bytes < kept.bytes ? [kept, asked] : [asked, kept];
    const all = asked.size + kept.size;
    const different = kernel.countDifferences(long.place, long.bytes, short.place, short.bytes);
    const common = Math.min((all - different) / 2, asked.size, kept.size);
    return common / (all - common);
  }
}
