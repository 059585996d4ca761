/** Where an n-gram was first seen. */
export interface NgramMatch<Owner> {
  readonly owner: Owner;
  /** The n-gram itself. */
  readonly words: string;
}

/** White space as Python's `str.split()` has it, which s1 splits by. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python splits at the separators \x1c to \x1f too
const whiteSpace = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/** The words of a text as s1 compares them: lower case, white space collapsed, punctuation kept. */
export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(whiteSpace)
    .filter((word) => word !== '');
}

/**
 * Word n-grams of texts, each with the owner of the text that had it first. An open-addressing table of 64-bit hashes
 * finds candidates, and a candidate counts only if its words are the same: 32 bits alone flag about one row in a hundred
 * falsely.
 */
export class NgramIndex<Owner> {
  private readonly texts: { readonly words: readonly string[]; readonly owner: Owner }[] = [];
  private low = new Uint32Array(1024);
  private high = new Uint32Array(1024);
  /** Index of the text, plus 1; 0 is an empty slot. */
  private text = new Uint32Array(1024);
  private position = new Uint32Array(1024);
  private used = 0;

  constructor(private readonly length: number) {}

  get size(): number {
    return this.used;
  }

  /** Adds the n-grams of a text that are not there yet. A text with fewer words has none. */
  add(words: readonly string[], owner: Owner): void {
    if (words.length < this.length) return;
    this.texts.push({ words, owner });
    const hashes = hashNgrams(words, this.length);
    for (let at = 0; at < hashes.length / 2; at++) {
      if ((this.used + 1) * 2 > this.text.length) this.grow();
      const slot = this.find(hashes[2 * at] as number, hashes[2 * at + 1] as number, words, at);
      if (this.text[slot] !== 0) continue;
      this.low[slot] = hashes[2 * at] as number;
      this.high[slot] = hashes[2 * at + 1] as number;
      this.text[slot] = this.texts.length;
      this.position[slot] = at;
      this.used++;
    }
  }

  /** The first n-gram of a text that is in the index under an owner that counts. */
  match(words: readonly string[], counts: (owner: Owner) => boolean = () => true): NgramMatch<Owner> | undefined {
    const hashes = hashNgrams(words, this.length);
    for (let at = 0; at < hashes.length / 2; at++) {
      const slot = this.find(hashes[2 * at] as number, hashes[2 * at + 1] as number, words, at);
      const owner = this.texts[(this.text[slot] as number) - 1]?.owner;
      if (owner !== undefined && counts(owner)) {
        return { owner, words: words.slice(at, at + this.length).join(' ') };
      }
    }
    return undefined;
  }

  /** The slot of an n-gram, or the empty one where it would go. */
  private find(low: number, high: number, words: readonly string[], at: number): number {
    const mask = this.text.length - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const text = this.text[slot] as number;
      if (text === 0) return slot;
      if (this.low[slot] !== low || this.high[slot] !== high) continue;
      if (this.isSame(text, this.position[slot] as number, words, at)) return slot;
    }
  }

  private isSame(text: number, position: number, words: readonly string[], at: number): boolean {
    const known = this.texts[text - 1]?.words ?? [];
    for (let index = 0; index < this.length; index++) {
      if (known[position + index] !== words[at + index]) return false;
    }
    return true;
  }

  private grow(): void {
    const { low, high, text, position } = this;
    const size = text.length * 2;
    this.low = new Uint32Array(size);
    this.high = new Uint32Array(size);
    this.text = new Uint32Array(size);
    this.position = new Uint32Array(size);
    for (let old = 0; old < text.length; old++) {
      if (text[old] === 0) continue;
      let slot = (low[old] as number) & (size - 1);
      while (this.text[slot] !== 0) slot = (slot + 1) & (size - 1);
      this.low[slot] = low[old] as number;
      this.high[slot] = high[old] as number;
      this.text[slot] = text[old] as number;
      this.position[slot] = position[old] as number;
    }
  }
}

/** Two 32-bit hashes of each n-gram: every word is hashed once, an n-gram mixes the hashes of its words. */
export function hashNgrams(words: readonly string[], length: number): Uint32Array {
  const count = Math.max(0, words.length - length + 1);
  const ngrams = new Uint32Array(2 * count);
  if (count === 0) return ngrams;
  const ofWords = new Uint32Array(2 * words.length);
  for (const [index, word] of words.entries()) {
    // Two FNV-1a-like streams with different offsets and primes.
    let low = 0x811c9dc5;
    let high = 0x9747b28c;
    for (let at = 0; at < word.length; at++) {
      const unit = word.charCodeAt(at);
      low = Math.imul(low ^ unit, 0x01000193);
      high = Math.imul(high ^ unit, 0x85ebca6b);
    }
    ofWords[2 * index] = low;
    ofWords[2 * index + 1] = high;
  }
  for (let at = 0; at < count; at++) {
    let low = 0;
    let high = 0;
    for (let index = at; index < at + length; index++) {
      low = mix(Math.imul(low, 31) + (ofWords[2 * index] as number));
      high = mix(Math.imul(high, 37) ^ (ofWords[2 * index + 1] as number));
    }
    ngrams[2 * at] = low;
    ngrams[2 * at + 1] = high;
  }
  return ngrams;
}

/** The finalizer of MurmurHash3. */
export function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
