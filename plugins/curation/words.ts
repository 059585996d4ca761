/** White space as Python's `str.split()` has it, which s1 splits by. */
const isSpace = new Uint8Array(0x3001);
for (const [first, last] of [
  [0x09, 0x0d],
  // Python splits at the separators 0x1c to 0x1f too.
  [0x1c, 0x20],
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
] as const) {
  isSpace.fill(1, first, last + 1);
}

/** Numbers a word in `cells`: low and high half of its hash, where it starts, where it ends. */
const cell = { low: 0, high: 1, start: 2, end: 3, size: 4 } as const;

/** The words of a text as s1 compares them: lower case, white space collapsed, punctuation kept. Each is hashed once. */
export class Words {
  constructor(
    private readonly text: string,
    private readonly cells: Uint32Array,
  ) {}

  get count(): number {
    return this.cells.length / cell.size;
  }

  word(at: number): string {
    return this.text.slice(this.cells[cell.size * at + cell.start], this.cells[cell.size * at + cell.end]);
  }

  /** So many words from one on, a space between them. */
  run(at: number, length: number): string {
    return Array.from({ length }, (_, index) => this.word(at + index)).join(' ');
  }

  /** Whether a run of words here is one of another text: by what they are, not by their hashes. */
  hasSameRun(at: number, other: Words, otherAt: number, length: number): boolean {
    for (let index = 0; index < length; index++) {
      const mine = cell.size * (at + index);
      const theirs = cell.size * (otherAt + index);
      const start = this.cells[mine + cell.start] as number;
      const size = (this.cells[mine + cell.end] as number) - start;
      const otherStart = other.cells[theirs + cell.start] as number;
      if ((other.cells[theirs + cell.end] as number) - otherStart !== size) return false;
      for (let unit = 0; unit < size; unit++) {
        if (this.text.charCodeAt(start + unit) !== other.text.charCodeAt(otherStart + unit)) return false;
      }
    }
    return true;
  }

  /**
   * 64-bit hashes of all runs of so many words, low and high half in turn. Each follows from the one before it.
   * @returns a view that the next call overwrites
   */
  hashRuns(length: number): Uint32Array {
    const { cells, count } = this;
    const runs = length === 0 ? 0 : Math.max(0, count - length + 1);
    const hashes = scratchFor(2 * runs);
    const [lowPower, highPower] = [power(lowFactor, length), power(highFactor, length)];
    let low = 0;
    let high = 0;
    for (let at = 0; at < count; at++) {
      low = (Math.imul(low, lowFactor) + (cells[cell.size * at] as number)) | 0;
      high = (Math.imul(high, highFactor) + (cells[cell.size * at + cell.high] as number)) | 0;
      if (at >= length) {
        low = (low - Math.imul(cells[cell.size * (at - length)] as number, lowPower)) | 0;
        high = (high - Math.imul(cells[cell.size * (at - length) + cell.high] as number, highPower)) | 0;
      }
      if (at < length - 1) continue;
      hashes[2 * (at - length + 1)] = mix(low);
      hashes[2 * (at - length + 1) + 1] = mix(high);
    }
    return hashes;
  }
}

let cellScratch = new Uint32Array(4096);

/** Splits a text into words and hashes them. */
export function scanWords(text: string): Words {
  const lower = text.toLowerCase();
  let used = 0;
  let at = 0;
  for (;;) {
    while (at < lower.length && isSpace[lower.charCodeAt(at)] === 1) at++;
    if (at === lower.length) break;
    const start = at;
    // Two FNV-1a-like streams with different offsets and primes.
    let low = 0x811c9dc5;
    let high = 0x9747b28c;
    for (; at < lower.length; at++) {
      const unit = lower.charCodeAt(at);
      if (isSpace[unit] === 1) break;
      low = Math.imul(low ^ unit, 0x01000193);
      high = Math.imul(high ^ unit, 0x85ebca6b);
    }
    if (used + cell.size > cellScratch.length) {
      const larger = new Uint32Array(2 * cellScratch.length);
      larger.set(cellScratch);
      cellScratch = larger;
    }
    cellScratch[used] = low;
    cellScratch[used + cell.high] = high;
    cellScratch[used + cell.start] = start;
    cellScratch[used + cell.end] = at;
    used += cell.size;
  }
  return new Words(lower, cellScratch.slice(0, used));
}

/** The finalizer of MurmurHash3. */
export function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const lowFactor = 0x9e3779b1;
const highFactor = 0x85ebca77;
let runScratch = new Uint32Array(4096);

function scratchFor(size: number): Uint32Array {
  if (runScratch.length < size) runScratch = new Uint32Array(2 * size);
  return runScratch.subarray(0, size);
}

function power(base: number, exponent: number): number {
  let result = 1;
  for (let step = 0; step < exponent; step++) result = Math.imul(result, base);
  return result;
}
