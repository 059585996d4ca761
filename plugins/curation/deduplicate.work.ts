import { createHash } from 'node:crypto';
import type { StartTextWork } from './compared-text.js';
import { type NearOptions, NearSketch } from './near-sketch.js';
import { scanWords } from './words.js';

export interface DuplicateKeys {
  readonly ignoreCaseAndSpace: boolean;
  readonly near?: NearOptions;
}

/** What the same texts have in common: themselves, or without what shall not count. */
export function comparedForm(text: string, { ignoreCaseAndSpace }: Pick<DuplicateKeys, 'ignoreCaseAndSpace'>): string {
  return ignoreCaseAndSpace ? text.toLowerCase().trim().replace(/\s+/g, ' ') : text;
}

/** Keys of each text, 64 bits each: one of the text itself, then those of its bands. */
export const start: StartTextWork<DuplicateKeys, Uint32Array> = (settings) => {
  const sketch = settings.near === undefined ? undefined : new NearSketch(settings.near);
  const size = 2 * keysOfRow(sketch);
  return (texts) => {
    const keys = new Uint32Array(size * texts.length);
    for (const [at, text] of texts.entries()) {
      const digest = createHash('sha1').update(comparedForm(text, settings)).digest();
      // Never zero, which is no key.
      keys[size * at] = digest.readUInt32LE(0) | 1;
      keys[size * at + 1] = digest.readUInt32LE(4);
      sketch?.writeKeys(scanWords(text), keys, size * at + 2);
    }
    return keys;
  };
};

export function keysOfRow(sketch: NearSketch | undefined): number {
  return 1 + (sketch?.bands ?? 0);
}
