import { numbersAt, reserve, startKernel } from './word-kernel.js';
import type { Words } from './words.js';

/** Where an n-gram was first seen. */
interface NgramMatch<Owner> {
  readonly owner: Owner;
  /** The n-gram itself. */
  readonly words: string;
}

/** Numbers a slot: both halves of the hash, index of the text plus 1 (0 is an empty slot), where in the text it begins. */
const slotSize = 4;
/** Slots for each number of the filter, of 32 bits: most n-grams of most texts are nowhere, and one look tells. */
const slotsEach = 2;

/**
 * Word n-grams of texts, each with the owner of the text that had it first. An open-addressing table of 64-bit hashes
 * finds candidates, and a candidate counts only if its words are the same: 32 bits alone flag about one row in a hundred
 * falsely.
 */
export class NgramIndex<Owner> {
  private readonly texts: { readonly words: Words; readonly owner: Owner }[] = [];
  private slots = new Uint32Array(1024 * slotSize);
  /** From address 0 on it has the filter, then hashes that are looked for. */
  private readonly kernel = startKernel();
  private filterSize = 1024 / slotsEach;
  private used = 0;

  /** @param length words in an n-gram */
  constructor(private readonly length: number) {
    reserve(this.kernel, 4 * this.filterSize);
  }

  get size(): number {
    return this.used;
  }

  /** Adds the n-grams of a text that are not there yet. A text with fewer words has none. */
  add(words: Words, owner: Owner): void {
    if (words.count < this.length) return;
    this.texts.push({ words, owner });
    const hashes = words.hashRuns(this.length);
    for (let at = 0; at < hashes.length / 2; at++) {
      if ((this.used + 1) * 2 * slotSize > this.slots.length) this.grow();
      const low = hashes[2 * at] as number;
      const high = hashes[2 * at + 1] as number;
      const slot = this.find(low, high, words, at);
      if (this.slots[slot + 2] !== 0) continue;
      this.slots.set([low, high, this.texts.length, at], slot);
      this.allow(low, high);
      this.used++;
    }
  }

  /** The first n-gram of a text that is in the index under an owner that counts. */
  match(words: Words, counts: (owner: Owner) => boolean = () => true): NgramMatch<Owner> | undefined {
    const { kernel, length } = this;
    const hashes = words.hashRuns(length);
    const count = hashes.length / 2;
    const hashesAt = 4 * this.filterSize;
    reserve(kernel, hashesAt + hashes.byteLength);
    numbersAt(kernel, hashesAt, hashes.length).set(hashes);
    for (let at = -1; ; ) {
      at = kernel.findSet(hashesAt, count, at + 1, 0, this.filterSize - 1);
      if (at === count) return undefined;
      const slot = this.find(hashes[2 * at] as number, hashes[2 * at + 1] as number, words, at);
      const owner = this.texts[(this.slots[slot + 2] as number) - 1]?.owner;
      if (owner !== undefined && counts(owner)) return { owner, words: words.run(at, length) };
    }
  }

  /** Where the slot of an n-gram begins, or the empty one where it would go. */
  private find(low: number, high: number, words: Words, at: number): number {
    const { slots } = this;
    const mask = slots.length / slotSize - 1;
    for (let index = low & mask; ; index = (index + 1) & mask) {
      const slot = index * slotSize;
      const text = slots[slot + 2] as number;
      if (text === 0) return slot;
      if (slots[slot] !== low || slots[slot + 1] !== high) continue;
      const known = this.texts[text - 1]?.words;
      if (known?.hasSameRun(slots[slot + 3] as number, words, at, this.length)) return slot;
    }
  }

  /** Sets two bits: a text whose n-grams are others has both of one by chance in one of hundreds. */
  private allow(low: number, high: number): void {
    const filter = numbersAt(this.kernel, 0, this.filterSize);
    const at = high & (this.filterSize - 1);
    filter[at] = (filter[at] as number) | (1 << (low & 31)) | (1 << ((low >>> 5) & 31));
  }

  private grow(): void {
    const { slots } = this;
    this.slots = new Uint32Array(2 * slots.length);
    this.filterSize *= 2;
    reserve(this.kernel, 4 * this.filterSize);
    numbersAt(this.kernel, 0, this.filterSize).fill(0);
    const mask = this.slots.length / slotSize - 1;
    for (let old = 0; old < slots.length; old += slotSize) {
      if (slots[old + 2] === 0) continue;
      let index = (slots[old] as number) & mask;
      while (this.slots[index * slotSize + 2] !== 0) index = (index + 1) & mask;
      this.slots.set(slots.subarray(old, old + slotSize), index * slotSize);
      this.allow(slots[old] as number, slots[old + 1] as number);
    }
  }
}
