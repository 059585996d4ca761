import { readFileSync } from 'node:fs';

/** What `wasm/words.ts` exports. Addresses are in its memory. */
interface WordKernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  countSpaces(text: number, size: number): number;
  writeWords(text: number, size: number, words: number, wide: number): number;
  hashWord(start: number, size: number, hash: number): void;
  hashRuns(words: number, count: number, length: number, runs: number): void;
  sign(shingles: number, count: number, seeds: number, bins: number, values: number, rounds: number): void;
  writeBands(values: number, rounds: number, bands: number, bandRows: number, keys: number): void;
  findSet(hashes: number, count: number, from: number, bits: number, mask: number): number;
  countDifferences(long: number, longSize: number, short: number, shortSize: number): number;
}

/** Node has it, and its types do not. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

const pageBytes = 65_536;
let module: object | undefined;

/** Starts one with a memory of its own. */
export function startKernel(): WordKernel {
  module ??= new WebAssembly.Module(readFileSync(new URL('./words.wasm', import.meta.url)));
  return new WebAssembly.Instance(module).exports as WordKernel;
}

/** Sees to it that the memory goes up to an address. Where it grows, what was seen of it before is empty. */
export function reserve({ memory }: WordKernel, end: number): void {
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
}

/** Numbers in its memory, until it grows. @param at a multiple of 4 */
export function numbersAt({ memory }: WordKernel, at: number, length: number): Uint32Array {
  return new Uint32Array(memory.buffer, at, length);
}
