import type { Words } from './words.js';

/** The different shingles of a text: found by their hashes and compared by their words. */
export class ShingleSet {
  size = 0;
  /** Of each shingle's first occurrence, ascending. */
  private readonly positions: Uint32Array;
  /** The same by their hashes, plus 1; 0 is an empty slot. */
  private readonly slots: Uint32Array;
  private readonly hashes: Uint32Array;

  /** Words in a shingle: a text of fewer words than asked for is one shingle. */
  private readonly length: number;

  /** @param length words in a shingle */
  constructor(
    private readonly words: Words,
    length: number,
  ) {
    this.length = Math.min(length, words.count);
    this.hashes = this.length === 0 ? new Uint32Array() : words.hashRuns(this.length).slice();
    this.positions = new Uint32Array(this.hashes.length / 2);
    this.slots = new Uint32Array(2 ** Math.ceil(Math.log2(this.hashes.length + 2)));
    for (let at = 0; at < this.hashes.length / 2; at++) {
      const slot = this.find(this, at);
      if (this.slots[slot] !== 0) continue;
      this.slots[slot] = at + 1;
      this.positions[this.size++] = at;
    }
  }

  /** Jaccard similarity of the two sets, exactly. */
  similarityTo(other: ShingleSet): number {
    const common = this.length === other.length ? this.inCommon(other) : 0;
    return common / (this.size + other.size - common);
  }

  /** Flips a bit for each shingle, by its hash. @param words of 32 bits, a power of 2 of them */
  flipBits(words: Uint32Array): void {
    const { hashes, positions, size } = this;
    for (let index = 0; index < size; index++) {
      const hash = hashes[2 * (positions[index] as number)] as number;
      const word = (hash >>> 5) & (words.length - 1);
      words[word] = (words[word] as number) ^ (1 << (hash & 31));
    }
  }

  /** How many shingles of another set are in this one. */
  private inCommon(other: ShingleSet): number {
    let common = 0;
    /** Of the shingle before: where it is here, or -1, and in the other text. */
    let found = -1;
    let before = -1;
    for (const at of other.positions.subarray(0, other.size)) {
      // Texts that are alike agree in one shingle after the other: only the last word is another one.
      const goesOn = found >= 0 && at === before + 1 && this.endsLike(found + 1, other, at);
      found = goesOn ? found + 1 : (this.slots[this.find(other, at)] as number) - 1;
      before = at;
      if (found >= 0) common++;
    }
    return common;
  }

  /** Whether a shingle here is one of another set's, where those before them are the same. */
  private endsLike(position: number, other: ShingleSet, at: number): boolean {
    const { hashes, length, words } = this;
    const isLike =
      hashes[2 * position] === other.hashes[2 * at] && hashes[2 * position + 1] === other.hashes[2 * at + 1];
    return isLike && words.hasSameRun(position + length - 1, other.words, at + length - 1, 1);
  }

  /** The slot of another set's shingle, or the empty one where it would go. */
  private find(other: ShingleSet, at: number): number {
    const mask = this.slots.length - 1;
    const low = other.hashes[2 * at] as number;
    const high = other.hashes[2 * at + 1] as number;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const position = (this.slots[slot] as number) - 1;
      if (position < 0) return slot;
      if (this.hashes[2 * position] !== low || this.hashes[2 * position + 1] !== high) continue;
      if (this.words.hasSameRun(position, other.words, at, this.length)) return slot;
    }
  }
}
