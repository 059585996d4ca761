const space = 0x20;

/** A byte as texts are compared: letters of ASCII in lower case, white space as a space. */
const folded = Uint8Array.from({ length: 256 }, (_, byte) => {
  // Python's `str.split()`, by which s1 splits, does so at the separators 0x1c to 0x1f too.
  if ((byte >= 0x09 && byte <= 0x0d) || (byte >= 0x1c && byte <= 0x20)) return space;
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
});

/** Numbers a word in `cells`: low and high half of its hash, where it starts, where it ends. */
const cell = { low: 0, high: 1, start: 2, end: 3, size: 4 } as const;

/** The words of a text as s1 compares them: lower case, white space collapsed, punctuation kept. Each is hashed once. */
export class Words {
  /** @param text in UTF-8 @param cells where its words are, and their hashes */
  constructor(
    private readonly text: Uint8Array,
    private readonly cells: Uint32Array,
  ) {}

  get count(): number {
    return this.cells.length / cell.size;
  }

  word(at: number): string {
    return lowerCase(
      this.text,
      this.cells[cell.size * at + cell.start] as number,
      this.cells[cell.size * at + cell.end] as number,
    );
  }

  /** So many words from one on, a space between them. */
  run(at: number, length: number): string {
    return Array.from({ length }, (_, index) => this.word(at + index)).join(' ');
  }

  /** Whether a run of words here is one of another text: by what they are, not by their hashes. */
  hasSameRun(at: number, other: Words, otherAt: number, length: number): boolean {
    for (let index = 0; index < length; index++) {
      if (
        !this.hasSameBytes(at + index, other, otherAt + index) &&
        this.word(at + index) !== other.word(otherAt + index)
      )
        return false;
    }
    return true;
  }

  /** False also where only the bytes differ, as those of a letter beyond ASCII in upper and in lower case do. */
  private hasSameBytes(at: number, other: Words, otherAt: number): boolean {
    const start = this.cells[cell.size * at + cell.start] as number;
    const size = (this.cells[cell.size * at + cell.end] as number) - start;
    const otherStart = other.cells[cell.size * otherAt + cell.start] as number;
    if ((other.cells[cell.size * otherAt + cell.end] as number) - otherStart !== size) return false;
    for (let byte = 0; byte < size; byte++) {
      if (folded[this.text[start + byte] as number] !== folded[other.text[otherStart + byte] as number]) return false;
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

/** Splits a text into words and hashes them. @param text as it is, or in UTF-8, which is kept */
export function scanWords(text: string | Uint8Array): Words {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return new Words(bytes, cellScratch.slice(0, writeCells(bytes)));
}

/** As `scanWords`, for words that are looked at before the next text is scanned, and then no more. */
export function scanPassingWords(text: Uint8Array): Words {
  const used = writeCells(text);
  return new Words(text, cellScratch.subarray(0, used));
}

/** Two streams like FNV-1a, with different primes. As signed integers: others are no machine words. */
const lowPrime = 0x01000193;
const highPrime = 0x85ebca6b | 0;
/** What a stream starts with: as if a space had gone before. */
const lowStart = Math.imul(-1, lowPrime);
const highStart = Math.imul(-1, highPrime);

/** As `folded`, but -1 for white space. */
const units = Int32Array.from(folded, (byte) => (byte === space ? -1 : byte));

/**
 * Nothing branches on where a word ends, which no processor can foretell: a cell is written at each byte, and counts
 * where a word ends there.
 * @returns how much of the scratch was written
 */
function writeCells(text: Uint8Array): number {
  const size = text.length;
  // Every second byte may end a word.
  const most = 2 * cell.size * (size + 2);
  if (cellScratch.length < most) cellScratch = new Uint32Array(2 * most);
  const cells = cellScratch;
  const unitOf = units;
  let used = 0;
  let low = lowStart;
  let high = highStart;
  let start = 0;
  /** The size of a cell, or zero. */
  let inWord = 0;
  for (let at = 0; at < size; at++) {
    const unit = unitOf[text[at] as number] as number;
    if (unit >= 0x80) {
      while (at < size && unitOf[text[at] as number] !== -1) at++;
      used = writeWideCells(cells, used, text, start, at);
      low = lowStart;
      high = highStart;
      inWord = 0;
      start = at + 1;
      continue;
    }
    /** All bits, or none. */
    const gap = unit >> 31;
    cells[used] = low;
    cells[used + 1] = high;
    cells[used + 2] = start;
    cells[used + 3] = at;
    used += gap & inWord;
    inWord = ~gap & cell.size;
    low = Math.imul((low & ~gap) ^ unit, lowPrime);
    high = Math.imul((high & ~gap) ^ unit, highPrime);
    start += (at + 1 - start) & gap;
  }
  return inWord === 0 ? used : writeCell(cells, used, low, high, start, size);
}

function writeCell(cells: Uint32Array, used: number, low: number, high: number, start: number, end: number): number {
  cells[used] = low;
  cells[used + cell.high] = high;
  cells[used + cell.start] = start;
  cells[used + cell.end] = end;
  return used + cell.size;
}

/** As `writeCells`, for what has no white space of ASCII in it, but characters beyond ASCII. */
function writeWideCells(cells: Uint32Array, used: number, text: Uint8Array, first: number, last: number): number {
  let next = used;
  let start = first;
  let isPlain = true;
  for (let at = first; at <= last; ) {
    const lead = at === last ? space : (text[at] as number);
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const kind = size === 1 ? (at === last ? spaceKind : plainKind) : kindOf(text, at, size);
    if (kind === spaceKind) {
      if (start < at) next = writeWideCell(cells, next, text, start, at, isPlain);
      start = at + size;
      isPlain = true;
    } else if (kind === changingKind) isPlain = false;
    at += size;
  }
  return next;
}

function writeWideCell(
  cells: Uint32Array,
  used: number,
  text: Uint8Array,
  start: number,
  end: number,
  isPlain: boolean,
): number {
  const word = isPlain ? text.subarray(start, end) : Buffer.from(lowerCase(text, start, end));
  let low = lowStart;
  let high = highStart;
  for (let at = 0; at < word.length; at++) {
    const byte = folded[word[at] as number] as number;
    low = Math.imul(low ^ byte, lowPrime);
    high = Math.imul(high ^ byte, highPrime);
  }
  return writeCell(cells, used, low, high, start, end);
}

function lowerCase(text: Uint8Array, start: number, end: number): string {
  return Buffer.from(text.buffer, text.byteOffset + start, end - start)
    .toString('utf8')
    .toLowerCase();
}

/** Characters that lower case leaves as they are, white space, and all others. */
const [plainKind, spaceKind, changingKind] = [0, 1, 2];
let kinds: Uint8Array | undefined;

/** Of a character of two to four bytes. */
function kindOf(text: Uint8Array, at: number, size: number): number {
  if (size === 4) return changingKind;
  kinds ??= Uint8Array.from({ length: 0x10000 }, (_, code) => kindOfCharacter(String.fromCharCode(code)));
  const [lead, second, third] = [text[at] as number, text[at + 1] as number, text[at + 2] as number];
  const code =
    size === 2
      ? ((lead & 0x1f) << 6) | (second & 0x3f)
      : ((lead & 0x0f) << 12) | ((second & 0x3f) << 6) | (third & 0x3f);
  return kinds[code] as number;
}

/** White space beyond ASCII, as Python's `str.split()` has it. */
const wideSpace = /[\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function kindOfCharacter(character: string): number {
  if (character.toLowerCase() !== character) return changingKind;
  return wideSpace.test(character) ? spaceKind : plainKind;
}

/** The finalizer of MurmurHash3. */
export function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const lowFactor = 0x9e3779b1 | 0;
const highFactor = 0x85ebca77 | 0;
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
