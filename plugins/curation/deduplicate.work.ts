import type { StartWork } from 'simmerkit';
import { columnBreak, comparedBytes } from './compared-text.js';
import { type NearOptions, NearSketch } from './near-sketch.js';
import { whiteSpace } from './white-space.js';
import { scanPassingWords, scanWords, type Words } from './words.js';

export interface DuplicateKeys {
  /** Columns that are compared. */
  readonly columns: readonly string[];
  readonly ignoreCaseAndSpace: boolean;
  readonly near?: NearOptions;
}

/** What the same texts have in common: themselves, or without what shall not count. */
export function comparedForm(text: string, { ignoreCaseAndSpace }: Pick<DuplicateKeys, 'ignoreCaseAndSpace'>): string {
  if (!ignoreCaseAndSpace) return text;
  const columns = text.split(columnBreak);
  return columns.map((column) => column.toLowerCase().replace(spaces, ' ').replace(/^ | $/g, '')).join(columnBreak);
}

const spaces = new RegExp(`[${whiteSpace}]+`, 'g');

/** Keys of each row (its texts are bytes), 64 bits each: one of its text, then those of its bands. */
export const start: StartWork<DuplicateKeys, Uint32Array> = (settings) => {
  const sketch = settings.near === undefined ? undefined : new NearSketch(settings.near);
  const size = 2 * keysOfRow(sketch);
  return (rows) => {
    const keys = new Uint32Array(size * rows.length);
    for (const [at, row] of rows.entries()) {
      const text = comparedBytes(row, settings.columns);
      if (settings.ignoreCaseAndSpace) {
        const form = comparedForm(Buffer.from(text).toString('utf8'), settings);
        writeTextKey(scanWords(form), keys, size * at);
      }
      const words = scanPassingWords(text);
      if (!settings.ignoreCaseAndSpace) writeTextKey(words, keys, size * at);
      sketch?.writeKeys(words, keys, size * at + 2);
    }
    return keys;
  };
};

/** Texts that are the same have the same key; not the other way round. */
function writeTextKey(words: Words, keys: Uint32Array, from: number): void {
  const [low = 0, high = 0] = words.hashRuns(words.count);
  // Never zero, which is no key.
  keys[from] = (low ^ words.count) | 1;
  keys[from + 1] = high;
}

export function keysOfRow(sketch: NearSketch | undefined): number {
  return 1 + (sketch?.bands ?? 0);
}
