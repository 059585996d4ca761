import fc from 'fast-check';
import { random } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { keysOfRow, start } from './deduplicate.work.js';
import { DuplicateFinder } from './duplicate-finder.js';
import { NearBounds } from './near-bounds.js';
import { NearSketch } from './near-sketch.js';
import { jaccard, shinglesOf, wordsOf } from './plain-words.fixture.js';
import { ShingleSet } from './similarity.js';
import { TextStore } from './text-store.js';
import { scanWords } from './words.js';

/** Counts how often a text is read to be compared. */
class CountingStore extends TextStore {
  reads = 0;

  override get(number: number): string {
    this.reads++;
    return super.get(number);
  }
}

/** What is said of each text, in turn. */
function judged(texts: readonly string[], similarity: number) {
  const near = { similarity, words: 3, hashes: 128, seed: 1 };
  const settings = { columns: ['text'], ignoreCaseAndSpace: false, near };
  const sketch = new NearSketch(near);
  const size = 2 * keysOfRow(sketch);
  const keys = start(settings)(texts.map((text) => ({ text: Buffer.from(text) })));
  const keysAt = (row: number) => keys.subarray(size * row, size * (row + 1));
  using store = new CountingStore('');
  const finder = new DuplicateFinder(settings, sketch, store);
  const said = texts.map((text, row) => finder.judge(text, String(row), keysAt(row)));
  return { said, reads: store.reads, keysAt };
}

/** A template with words of its own in each text. */
function textsOfTemplate(count: number, { words, own }: { readonly words: number; readonly own: number }): string[] {
  const draw = random(5, 'template');
  const template = Array.from({ length: words }, (_, at) => `word${at}`);
  const isOwn = (at: number) => at % 10 >= 10 - 10 * own;
  return Array.from({ length: count }, () =>
    template.map((word, at) => (isOwn(at) ? `own${draw.integer(1e6)}` : word)).join(' '),
  );
}

describe('near duplicates of one template', () => {
  it('are not compared word by word where they share too little', () => {
    const { said, reads } = judged(textsOfTemplate(1000, { words: 60, own: 0.4 }), 0.5);
    expect(said.every((drop) => drop === undefined)).toBe(true);
    expect(reads).toBeLessThan(1000);
  });

  it('are judged as by a comparison with every text that shares a band', () => {
    const draw = random(11, 'families');
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 2, max: 400 }),
        fc.double({ min: 0.1, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (length, vocabulary, similarity, changed) => {
          const word = () => `w${draw.integer(vocabulary)}`;
          const template = Array.from({ length }, word);
          const texts = Array.from({ length: 25 }, () =>
            template
              .slice(0, draw.next() < 0.5 ? length : 1 + draw.integer(length))
              .map((each) => (draw.next() < changed ? word() : each))
              .join(' '),
          );
          const { said, keysAt } = judged(texts, similarity);
          const sets = texts.map((text) => shinglesOf(wordsOf(text), 3));
          const kept: number[] = [];
          for (const [row, drop] of said.entries()) {
            if (texts.indexOf(texts[row]!) < row) {
              expect(drop?.rule).toBe('duplicate');
              continue;
            }
            const [mine, first] = [keysAt(row), 2];
            const near = kept
              .filter((other) =>
                mine.some(
                  (low, at) =>
                    at >= first && at % 2 === 0 && low === keysAt(other)[at] && mine[at + 1] === keysAt(other)[at + 1],
                ),
              )
              .map((other) => ({ other, value: jaccard(sets[other]!, sets[row]!) }))
              .filter(({ value }) => value >= similarity)
              .sort((one, other) => other.value - one.value || one.other - other.other)[0];
            expect(drop?.evidence).toBe(near && `${near.value.toFixed(3)} similar to ${near.other}`);
            if (drop === undefined) kept.push(row);
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('a bound of similarity', () => {
  it('is never less than the similarity, and not much more where bits are enough', () => {
    const draw = random(3, 'bounds');
    for (const [length, vocabulary, changed] of [
      [3, 5, 0.3],
      [60, 1e6, 0.1],
      [900, 1e6, 0.05],
      [900, 4, 0.2],
    ] as const) {
      const word = () => `w${draw.integer(vocabulary)}`;
      const template = Array.from({ length }, word);
      const bounds = new NearBounds();
      const sets: ShingleSet[] = [];
      for (let text = 0; text < 40; text++) {
        const own = template.slice(0, 1 + draw.integer(length)).map((each) => (draw.next() < changed ? word() : each));
        const set = new ShingleSet(scanWords(own.join(' ')), 3);
        bounds.ask(set);
        for (const [number, other] of sets.entries()) {
          const similarity = set.similarityTo(other);
          expect(bounds.mostSimilar(number)).toBeGreaterThanOrEqual(similarity);
          if (similarity > 0.5) expect(bounds.mostSimilar(number)).toBeLessThan(similarity + 0.2);
        }
        sets.push(set);
        expect(bounds.keep()).toBe(sets.length - 1);
      }
    }
  });
});
