import { readdir } from 'node:fs/promises';
import fc from 'fast-check';
import { random } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { deduplicate } from './deduplicate.stage.js';
import { keysOfRow, start } from './deduplicate.work.js';
import { DuplicateFinder } from './duplicate-finder.js';
import { rowsThatShareKeys } from './duplicate-keys.js';
import { NearSketch } from './near-sketch.js';
import { jaccard, shinglesOf, wordsOf } from './plain-words.fixture.js';
import { ShingleSet } from './similarity.js';
import { TextStore } from './text-store.js';
import { scanWords, Words } from './words.js';

const options = { similarity: 0.8, words: 3, hashes: 128, seed: 7 };
const columns = { id: 'VARCHAR', question: 'VARCHAR' };
const tableOf = (texts: readonly string[]) =>
  memoryTable(
    columns,
    texts.map((question, at) => ({ id: `r${at}`, question })),
  );

/** Texts and copies of them with a few words changed, on both sides of the threshold. */
function textsWithCopies(bases: number, vocabulary: number): string[] {
  const choose = random(7, 'near');
  const word = () => `w${choose.integer(vocabulary)}`;
  const texts: string[] = [];
  for (let base = 0; base < bases; base++) {
    const text = Array.from({ length: 20 + choose.integer(120) }, word);
    texts.push(text.join(' '));
    for (let copy = 0; copy < 4; copy++) {
      const changed = [...text];
      for (let edit = choose.integer(8); edit > 0; edit--) changed[choose.integer(text.length)] = word();
      texts.push(changed.join(' '));
    }
  }
  return texts;
}

describe('near duplicates', () => {
  it('are found as brute force finds them: precision 1, recall at least 0.99', () => {
    const texts = textsWithCopies(150, 400);
    const shingles = texts.map((text) => shinglesOf(wordsOf(text), options.words));
    const sketch = new NearSketch(options);
    const keys = texts.map((text) => {
      const written = new Uint32Array(2 * sketch.bands);
      sketch.writeKeys(scanWords(text), written);
      return Array.from({ length: sketch.bands }, (_, band) => `${written[2 * band]} ${written[2 * band + 1]}`);
    });
    let pairs = 0;
    let found = 0;
    let candidates = 0;
    for (const later of texts.keys()) {
      for (let earlier = 0; earlier < later; earlier++) {
        const isCandidate = keys[earlier]!.some((key, band) => key === keys[later]![band]);
        const similarity = jaccard(shingles[earlier]!, shingles[later]!);
        if (isCandidate) {
          candidates++;
          const [one, other] = [earlier, later].map((at) => new ShingleSet(scanWords(texts[at]!), options.words));
          expect(one!.similarityTo(other!)).toBe(similarity);
        }
        if (similarity < options.similarity) continue;
        pairs++;
        if (isCandidate) found++;
      }
    }
    console.log(`near duplicates: ${pairs} pairs, ${candidates} candidates, recall ${(found / pairs).toFixed(4)}`);
    expect(pairs).toBeGreaterThan(400);
    expect(candidates).toBeLessThan(3 * pairs);
    expect(found / pairs).toBeGreaterThanOrEqual(0.99);
  });

  it('have signatures that agree as often as the texts are similar', () => {
    const choose = random(3, 'signatures');
    for (const [length, changed] of [
      [12, 2],
      [100, 10],
      [1500, 40],
    ] as const) {
      let expected = 0;
      let agreeing = 0;
      let bands = 0;
      for (let trial = 0; trial < 60; trial++) {
        const words = Array.from({ length }, () => `w${choose.integer(1e6)}`);
        const other = words.map((word, at) => (at % Math.floor(length / changed) === 1 ? `other${at}` : word));
        // One value a band, so that keys agree as values do.
        const sketch = new NearSketch({ similarity: 0.01, words: 1, hashes: 128, seed: trial });
        expect(sketch.bandRows).toBe(1);
        const [one, two] = [words, other].map((text) => {
          const keys = new Uint32Array(2 * sketch.bands);
          sketch.writeKeys(scanWords(text.join(' ')), keys);
          return keys;
        });
        for (let band = 0; band < sketch.bands; band++) if (one![2 * band] === two![2 * band]) agreeing++;
        bands += sketch.bands;
        expected += jaccard(new Set(words), new Set(other)) / 60;
      }
      expect(Math.abs(agreeing / bands - expected)).toBeLessThan(0.02);
    }
  });

  it('are dropped for the most similar kept text, of equal ones the first', async () => {
    const texts = [
      'a b c d e f g h i j',
      'a b c d e f g h i k',
      'x y z',
      'x Y  z',
      'yes no',
      'yes no.',
      'Yes no',
      '',
      ' ',
    ];
    const { rows } = await runStage(deduplicate, {
      options: { near: { similarity: 0.3 } },
      inputs: { dataset: tableOf(texts) },
    });
    expect(rows('decisions').map(({ evidence }) => evidence)).toEqual([
      null,
      '0.778 similar to r0',
      null,
      '1.000 similar to r2',
      null,
      null,
      '1.000 similar to r4',
      null,
      null,
    ]);
  });

  it('need no more bands than find enough, whatever the threshold', () => {
    for (const similarity of [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1]) {
      const { bands, bandRows } = new NearSketch({ ...options, similarity });
      expect(bands * bandRows).toBeLessThanOrEqual(options.hashes);
      expect(1 - (1 - similarity ** bandRows) ** bands).toBeGreaterThanOrEqual(similarity > 0.1 ? 0.99 : 0.98);
    }
  });

  it('are never what is not similar, on any texts, and always what has the same words', async () => {
    const text = fc
      .array(fc.constantFrom('a', 'b', 'ß', '日本', '𝒳', 'é', '\n'), { maxLength: 12 })
      .map((words) => words.join(' '));
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 8 }),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        async (texts, similarity) => {
          const { rows } = await runStage(deduplicate, {
            options: { near: { similarity } },
            inputs: { dataset: tableOf(texts) },
          });
          const kept: string[] = [];
          for (const [at, { rule, evidence }] of rows('decisions').entries()) {
            const mine = shinglesOf(wordsOf(texts[at]!), 3);
            const similarities = kept.map((other) => jaccard(mine, shinglesOf(wordsOf(other), 3)));
            if (texts.slice(0, at).includes(texts[at]!)) expect(rule).toBe('duplicate');
            else if (rule === null) expect(similarities).not.toContain(1);
            else {
              const found = Number(String(evidence).split(' ')[0]);
              expect(rule).toBe('near_duplicate');
              expect(similarities.some((one) => one >= similarity && Math.abs(one - found) < 0.001)).toBe(true);
            }
            if (rule === null) kept.push(texts[at]!);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are told apart from shingles that only have the same hash', () => {
    const cells = Uint32Array.of(1, 2, 0, 3, 3, 4, 4, 7);
    const [one, other] = ['one two', 'six ten'].map((text) => new ShingleSet(new Words(Buffer.from(text), cells), 2));
    expect(one!.similarityTo(other!)).toBe(0);
    expect(one!.similarityTo(one!)).toBe(1);
  });
});

describe('exact duplicates', () => {
  it('are those of a plain comparison, on any texts', async () => {
    const text = fc
      .array(fc.constantFrom('a', 'A', ' ', '\n', '\x1f', '\x85', '\ufeff', 'İ', '𐌰', ''), { maxLength: 4 })
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 20 }), fc.boolean(), async (texts, ignoreCaseAndSpace) => {
        const { rows } = await runStage(deduplicate, {
          options: { ignoreCaseAndSpace },
          inputs: { dataset: tableOf(texts) },
        });
        const spaced = (one: string) =>
          ['\n', '\x1f', '\x85'].reduce((text, space) => text.replaceAll(space, ' '), one);
        const words = (one: string) => spaced(one.toLowerCase()).split(' ');
        const collapsed = (one: string) => words(one).filter(Boolean).join(' ');
        const forms = texts.map((one) => (ignoreCaseAndSpace ? collapsed(one) : one));
        const expected = forms.map((form, at) =>
          forms.indexOf(form) === at ? null : `same as r${forms.indexOf(form)}`,
        );
        expect(rows('decisions').map(({ evidence }) => evidence)).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('are told apart from texts that only have the same key', () => {
    using texts = new TextStore('');
    const finder = new DuplicateFinder({ columns: [], ignoreCaseAndSpace: false }, undefined, texts);
    const key = Uint32Array.of(1, 2);
    expect(finder.judge('one', 'r0', key)).toBeUndefined();
    expect(finder.judge('two', 'r1', key)).toBeUndefined();
    expect(finder.judge('two', 'r2', key)).toEqual({ rule: 'duplicate', evidence: 'same as r1' });
  });

  it('share a key, and only they are looked at again', async () => {
    const work = start({ columns: ['t'], ignoreCaseAndSpace: false });
    const blocks = [['a', 'b'], ['a'], ['c', 'b', 'd']].map((texts) => work(texts.map((t) => ({ t }))));
    expect([...(await rowsThatShareKeys(blocks, keysOfRow(undefined)))]).toEqual([0, 1, 2, 4]);
    expect([...(await rowsThatShareKeys([], 1))]).toEqual([]);
  });
});

describe('a store of texts', () => {
  it('gives back what it was given, from memory and from disk', async () => {
    const folder = await temporaryFolder();
    using store = new TextStore(folder, 20);
    const texts = ['short', '', 'half a 🜁 \ud800', 'too long for what is left of its memory', 'x', ''];
    expect(texts.map((text) => store.add(text))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await readdir(folder)).toEqual(['texts']);
    expect(texts.map((_, number) => store.get(number))).toEqual(texts);
    expect(store.get(3)).toBe(texts[3]);
  });
});
