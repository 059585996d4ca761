import { runningText } from './compared-text.js';
import { comparedForm, type DuplicateKeys } from './deduplicate.work.js';
import { NearIndex } from './near-index.js';
import type { NearSketch } from './near-sketch.js';
import type { Drop } from './sieve.js';
import type { TextStore } from './text-store.js';
import { scanWords } from './words.js';

/** Judges texts one after the other: the first of equal or similar ones stays. By what they are, not by their keys. */
export class DuplicateFinder {
  /** Ids of the texts of the store, by their numbers. */
  private readonly ids: (string | null)[] = [];
  private readonly equals = new Map<number, number[]>();
  private readonly near: NearIndex | undefined;
  private droppedEmpty = 0;

  constructor(
    private readonly settings: DuplicateKeys,
    sketch: NearSketch | undefined,
    private readonly texts: TextStore,
  ) {
    const { near } = settings;
    if (near !== undefined && sketch !== undefined) this.near = new NearIndex(near, sketch, texts);
  }

  /** How many of the duplicates so far are the same in that they have no text. */
  get emptyDuplicates(): number {
    return this.droppedEmpty;
  }

  /** @param text as `columnTexts` makes it @param keys as `deduplicate.work` makes them: of the text, then of its bands */
  judge(text: string, id: string | null, keys: Uint32Array): Drop | undefined {
    const key = (keys[0] as number) * 2 ** 21 + ((keys[1] as number) >>> 11);
    const alike = this.equals.get(key) ?? [];
    const form = comparedForm(text, this.settings);
    const equal = alike.find((number) => comparedForm(this.texts.get(number), this.settings) === form);
    // Also of a text that was dropped as similar to another: what is the same does not depend on what is similar.
    if (equal !== undefined) {
      if (runningText(text).trim() === '') this.droppedEmpty++;
      return { rule: 'duplicate', evidence: `same as ${this.ids[equal]}` };
    }
    const number = this.texts.add(text);
    this.ids[number] = id;
    this.equals.set(key, [...alike, number]);
    const similar = this.near?.findOrAdd(number, scanWords(runningText(text)), keys.subarray(2));
    if (similar === undefined) return undefined;
    const evidence = `${similar.similarity.toFixed(3)} similar to ${this.ids[similar.text]}`;
    return { rule: 'near_duplicate', evidence };
  }
}
