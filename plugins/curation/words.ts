import { isAscii } from 'node:buffer';
import { wideSpace } from './white-space.js';
import { numbersAt, reserve, startKernel } from './word-kernel.js';

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
   * @returns a view that the next call, or the next text that is scanned, overwrites
   */
  hashRuns(length: number): Uint32Array {
    const { cells, count } = this;
    if (length < 1 || count < length) return new Uint32Array();
    let words = cells.byteOffset;
    if (cells.buffer !== kernel.memory.buffer) {
      words = textAt;
      reserve(kernel, words + cells.byteLength + runBytes * count);
      numbersAt(kernel, words, cells.length).set(cells);
    }
    const runs = words + cells.byteLength;
    kernel.hashRuns(words, count, length, runs);
    return numbersAt(kernel, runs, 2 * (count - length + 1));
  }
}

/** Splits a text into words and hashes them. @param text as it is, or in UTF-8, which is kept */
export function scanWords(text: string | Uint8Array): Words {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return new Words(bytes, writeCells(bytes).slice());
}

/** As `scanWords`, for words that are looked at before the next text is scanned or hashed, and then no more. */
export function scanPassingWords(text: Uint8Array): Words {
  return new Words(text, writeCells(text));
}

/** Scans all texts of this thread. */
const kernel = startKernel();
/** Where in its memory a text comes: behind the kinds of characters. Words follow it, and then hashes of runs. */
const textAt = 0x10000;
/** White space behind a text: a vector, and a word's eight bytes. */
const paddingBytes = 24;
const cellBytes = 4 * cell.size;
const runBytes = 8;

/** @returns a view of the kernel's memory, behind which there is room for the hashes of runs */
function writeCells(text: Uint8Array): Uint32Array {
  if (!hasKinds && !isAscii(text)) writeKinds();
  const padded = text.length + paddingBytes;
  const words = textAt + cellBytes * Math.ceil(padded / cellBytes);
  reserve(kernel, words);
  new Uint8Array(kernel.memory.buffer, textAt, padded).fill(space, text.length).set(text);
  const most = 1 + kernel.countSpaces(textAt, text.length);
  const wide = words + cellBytes * most;
  reserve(kernel, wide + runBytes * most);
  const count = kernel.writeWords(textAt, text.length, words, wide);
  const [wideWords = 0] = numbersAt(kernel, wide, 1);
  const all =
    wideWords === 0 ? count : writeWideWords(text, words, count, numbersAt(kernel, wide + 4, wideWords).slice());
  return numbersAt(kernel, words, cell.size * all);
}

/**
 * Writes words anew that may be several, since white space beyond ASCII parts them, or have capitals beyond ASCII.
 * @param words where the first word is @param numbers of these, ascending
 * @returns how many words there are now
 */
function writeWideWords(text: Uint8Array, words: number, count: number, numbers: Uint32Array): number {
  const old = numbersAt(kernel, words, cell.size * count).slice();
  // White space beyond ASCII has two bytes at least.
  const most = count + Math.ceil(text.length / 3);
  const lowered = words + (cellBytes + runBytes) * most;
  reserve(kernel, lowered);
  let written = 0;
  let next = 0;
  const goOnTo = (number: number) => {
    const between = old.subarray(cell.size * next, cell.size * number);
    numbersAt(kernel, words + cellBytes * written, between.length).set(between);
    written += number - next;
    next = number + 1;
  };
  for (const number of numbers) {
    goOnTo(number);
    const first = old[cell.size * number + cell.start] as number;
    const last = old[cell.size * number + cell.end] as number;
    for (const { start, end, isPlain } of wideParts(text, first, last)) {
      const at = words + cellBytes * written++;
      if (isPlain) kernel.hashWord(textAt + start, end - start, at);
      else {
        const lower = Buffer.from(lowerCase(text, start, end));
        reserve(kernel, lowered + lower.length + 8);
        new Uint8Array(kernel.memory.buffer, lowered, lower.length).set(lower);
        kernel.hashWord(lowered, lower.length, at);
      }
      numbersAt(kernel, at, cell.size).set([start, end], cell.start);
    }
  }
  goOnTo(count);
  return written;
}

interface WidePart {
  readonly start: number;
  readonly end: number;
  readonly isPlain: boolean;
}

/** The words of a part of a text that has no white space of ASCII in it, but characters beyond ASCII. */
function* wideParts(text: Uint8Array, first: number, last: number): Iterable<WidePart> {
  let start = first;
  let isPlain = true;
  for (let at = first; at <= last; ) {
    const lead = at === last ? space : (text[at] as number);
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const kind = size === 1 ? (at === last ? spaceKind : plainKind) : kindOf(text, at, size);
    if (kind === spaceKind) {
      if (start < at) yield { start, end: at, isPlain };
      start = at + size;
      isPlain = true;
    } else if (kind === changingKind) isPlain = false;
    at += size;
  }
}

function lowerCase(text: Uint8Array, start: number, end: number): string {
  return Buffer.from(text.buffer, text.byteOffset + start, end - start)
    .toString('utf8')
    .toLowerCase();
}

/** Characters that lower case leaves as they are, white space, and all others. */
const [plainKind, spaceKind, changingKind] = [0, 1, 2];
let hasKinds = false;

/** Of all characters of one unit of UTF-16, for the kernel. */
function writeKinds(): void {
  hasKinds = true;
  reserve(kernel, textAt);
  const kinds = new Uint8Array(kernel.memory.buffer, 0, 0x10000);
  for (const code of kinds.keys()) kinds[code] = kindOfCharacter(String.fromCharCode(code));
}

/** Of a character of two to four bytes. */
function kindOf(text: Uint8Array, at: number, size: number): number {
  if (size === 4) return changingKind;
  const [lead, second, third] = [text[at] as number, text[at + 1] as number, text[at + 2] as number];
  const code =
    size === 2
      ? ((lead & 0x1f) << 6) | (second & 0x3f)
      : ((lead & 0x0f) << 12) | ((second & 0x3f) << 6) | (third & 0x3f);
  return kindOfCharacter(String.fromCharCode(code));
}

const isWideSpace = new RegExp(`[${wideSpace}]`);

function kindOfCharacter(character: string): number {
  if (character.toLowerCase() !== character) return changingKind;
  return isWideSpace.test(character) ? spaceKind : plainKind;
}
