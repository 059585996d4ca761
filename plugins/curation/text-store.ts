import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Beyond this, in bytes, texts wait on disk. */
const memoryLimit = 256 * 2 ** 20;

/** Texts by number, from 0: the first ones in memory, what does not fit there in a file. */
export class TextStore implements Disposable {
  readonly #folder: string;
  readonly #limit: number;
  readonly #texts: string[] = [];
  /** Where those in the file end, the first from 0. */
  readonly #ends: number[] = [];
  #bytes = 0;
  #file: number | undefined;

  /** @param folder an empty one, for the file */
  constructor(folder: string, limit = memoryLimit) {
    this.#folder = folder;
    this.#limit = limit;
  }

  /** @returns its number */
  add(text: string): number {
    if (this.#ends.length === 0 && this.#bytes + 2 * text.length <= this.#limit) {
      this.#bytes += 2 * text.length;
      return this.#texts.push(text) - 1;
    }
    this.#file ??= openSync(join(this.#folder, 'texts'), 'wx+', 0o600);
    const bytes = Buffer.from(text, 'utf16le');
    const start = this.#ends.at(-1) ?? 0;
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#file, bytes, written, bytes.length - written, start + written);
    }
    return this.#texts.length + this.#ends.push(start + bytes.length) - 1;
  }

  /** @param number of one that was added */
  get(number: number): string {
    const text = this.#texts[number];
    if (text !== undefined) return text;
    const place = number - this.#texts.length;
    const start = this.#ends[place - 1] ?? 0;
    const bytes = Buffer.alloc((this.#ends[place] ?? start) - start);
    for (let read = 0; read < bytes.length; ) {
      read += readSync(this.#file as number, bytes, read, bytes.length - read, start + read);
    }
    return bytes.toString('utf16le');
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
