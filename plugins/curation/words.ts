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

/** A text and spaces behind it, so that eight bytes can be read wherever a word begins. */
class PaddedText {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);

  set(text: Uint8Array): void {
    const size = text.length + 8;
    if (this.bytes.length < size) {
      this.bytes = new Uint8Array(2 * size);
      this.view = new DataView(this.bytes.buffer);
    }
    this.bytes.set(text);
    this.bytes.fill(space, text.length, size);
  }
}

const scanned = new PaddedText();
const lowered = new PaddedText();
let breakScratch = new Int32Array(4096);

/** 1 for white space of ASCII. */
const isSpace = Uint8Array.from(folded, (byte) => (byte === space ? 1 : 0));

/** @returns how much of the scratch was written */
function writeCells(text: Uint8Array): number {
  scanned.set(text);
  const { view } = scanned;
  const count = writeBreaks(scanned.bytes, text.length);
  const breaks = breakScratch;
  // Between two breaks there may be words that only white space beyond ASCII parts: two bytes at least.
  const most = cell.size * (count + text.length / 2 + 1);
  if (cellScratch.length < most) cellScratch = new Uint32Array(2 * most);
  const cells = cellScratch;
  let used = 0;
  let start = 0;
  for (let index = 0; index < count; index++) {
    const end = breaks[index] as number;
    const bytes = hashWord(view, start, end, cells, used);
    if ((bytes & beyondAscii) !== 0) used = writeWideCells(cells, used, text, start, end);
    else {
      cells[used + cell.start] = start;
      cells[used + cell.end] = end;
      // Nothing branches on whether a word is empty, or where it ends, which no processor can foretell.
      used += ((start - end) >> 31) & cell.size;
    }
    start = end + 1;
  }
  return used;
}

/** Writes where there is white space of ASCII, and where the text ends. @returns how many these are */
function writeBreaks(text: Uint8Array, size: number): number {
  if (breakScratch.length < size + 4) breakScratch = new Int32Array(2 * (size + 4));
  const breaks = breakScratch;
  const spaces = isSpace;
  let used = 0;
  // Four at a time take two thirds of the time; behind the text there are spaces.
  for (let at = 0; at < size; at += 4) {
    breaks[used] = at;
    used += spaces[text[at] as number] as number;
    breaks[used] = at + 1;
    used += spaces[text[at + 1] as number] as number;
    breaks[used] = at + 2;
    used += spaces[text[at + 2] as number] as number;
    breaks[used] = at + 3;
    used += spaces[text[at + 3] as number] as number;
  }
  while (used > 0 && (breaks[used - 1] as number) >= size) used--;
  breaks[used] = size;
  return used + 1;
}

const beyondAscii = 0x80808080 | 0;
/** What there is of the first and second four bytes of a word of so many bytes. */
const firstMasks = Int32Array.of(0, 0xff, 0xffff, 0xffffff, -1, -1, -1, -1, -1);
const secondMasks = Int32Array.of(0, 0, 0, 0, 0, 0xff, 0xffff, 0xffffff, -1);
const lowFactor = 0x9e3779b1 | 0;
const highFactor = 0x85ebca77 | 0;

/**
 * Writes both halves of the hash of a word in lower case, as far as ASCII goes, four bytes at a time.
 * @param view with eight bytes behind `start`
 * @returns all its bytes, or-ed
 */
function hashWord(view: DataView, start: number, end: number, cells: Uint32Array, used: number): number {
  const size = Math.min(end - start, 8);
  const first = view.getInt32(start, true) & (firstMasks[size] as number);
  const second = view.getInt32(start + 4, true) & (secondMasks[size] as number);
  const one = lowered4(first);
  const two = lowered4(second);
  let bytes = first | second;
  let low = Math.imul(one ^ (end - start), lowFactor);
  low = Math.imul(low ^ (low >>> 15) ^ two, lowFactor);
  let high = Math.imul(one + 0x27d4eb2f, highFactor);
  high = Math.imul(high ^ (high >>> 13) ^ two, highFactor);
  for (let at = start + 8; at < end; at += 4) {
    const next = view.getInt32(at, true) & (firstMasks[Math.min(end - at, 4)] as number);
    const lower = lowered4(next);
    bytes |= next;
    low = Math.imul(low ^ (low >>> 15) ^ lower, lowFactor);
    high = Math.imul(high ^ (high >>> 13) ^ lower, highFactor);
  }
  cells[used] = low ^ (low >>> 15);
  cells[used + cell.high] = high ^ (high >>> 13);
  return bytes;
}

/** Four bytes with the letters of ASCII among them in lower case. */
function lowered4(bytes: number): number {
  const sevens = bytes & 0x7f7f7f7f;
  // The highest bit of each byte: at least A, not beyond Z, of ASCII.
  const isUpper = (sevens + 0x3f3f3f3f) & ~(sevens + 0x25252525) & ~bytes & beyondAscii;
  return bytes | (isUpper >>> 2);
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
  if (isPlain) hashWord(scanned.view, start, end, cells, used);
  else {
    const lower = Buffer.from(lowerCase(text, start, end));
    lowered.set(lower);
    hashWord(lowered.view, 0, lower.length, cells, used);
  }
  cells[used + cell.start] = start;
  cells[used + cell.end] = end;
  return used + cell.size;
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
