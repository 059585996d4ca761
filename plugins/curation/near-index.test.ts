import fc from 'fast-check';
import { random } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { jaccard, NearIndex, shinglesOf } from './near-index.js';

const options = { similarity: 0.8, words: 3, hashes: 128, seed: 7 };
const split = (text: string) => text.split(' ');

describe('a near index', () => {
  it('finds pairs as brute force does: precision 1, recall at least 0.99', () => {
    const choose = random(7, 'near');
    const vocabulary = Array.from({ length: 400 }, (_, index) => `w${index}`);
    const texts: string[][] = [];
    for (let base = 0; base < 150; base++) {
      const text = Array.from({ length: 20 + choose.integer(120) }, () => choose.pick(vocabulary));
      texts.push(text);
      // Copies with a few words changed lie on both sides of the threshold.
      for (let copy = 0; copy < 4; copy++) {
        const changed = [...text];
        for (let edit = choose.integer(8); edit > 0; edit--)
          changed[choose.integer(text.length)] = choose.pick(vocabulary);
        texts.push(changed);
      }
    }
    const shingles = texts.map((words) => shinglesOf(words, options.words));
    let pairs = 0;
    let found = 0;
    let wrong = 0;
    for (const [later, words] of texts.entries()) {
      for (let earlier = 0; earlier < later; earlier++) {
        const similarity = jaccard(shingles[earlier]!, shingles[later]!);
        if (similarity < 0.1) continue;
        const index = new NearIndex<number>(options);
        index.findOrAdd(texts[earlier]!, earlier);
        const near = index.find(words);
        if (similarity >= options.similarity) pairs++;
        if (near !== undefined && similarity >= options.similarity) found++;
        if (near !== undefined && (similarity < options.similarity || near.similarity !== similarity)) wrong++;
      }
    }
    console.log(`near duplicates: ${pairs} pairs, recall ${(found / pairs).toFixed(4)}, ${wrong} wrong`);
    expect(pairs).toBeGreaterThan(400);
    expect(wrong).toBe(0);
    expect(found / pairs).toBeGreaterThanOrEqual(0.99);
  });

  it('gives the most similar text, of equal ones the first', () => {
    const index = new NearIndex<string>({ ...options, similarity: 0.3 });
    index.findOrAdd(split('a b c d e f g h i j'), 'first');
    expect(index.find(split('a b c d e f g h i k'))).toEqual({ owner: 'first', similarity: 7 / 9 });
    expect(index.find(split('x y z'))).toBeUndefined();
  });

  it('takes a text shorter than a shingle as one shingle, and no words as similar to nothing', () => {
    const index = new NearIndex<string>(options);
    expect(index.findOrAdd(split('yes no'), 'short')).toBeUndefined();
    expect(index.find(split('yes no'))).toEqual({ owner: 'short', similarity: 1 });
    expect(index.find(split('yes'))).toBeUndefined();
    expect(index.findOrAdd([], 'empty')).toBeUndefined();
    expect(index.find([])).toBeUndefined();
  });

  it('needs no more bands than find enough, whatever the threshold', () => {
    for (const similarity of [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1]) {
      const { bands, bandRows } = new NearIndex({ ...options, similarity });
      expect(bands * bandRows).toBeLessThanOrEqual(options.hashes);
      expect(1 - (1 - similarity ** bandRows) ** bands).toBeGreaterThanOrEqual(similarity > 0.1 ? 0.99 : 0.98);
    }
  });

  it('never calls similar what is not, on any texts', () => {
    const words = fc.array(fc.constantFrom('a', 'b', 'ß', '日本', '𝒳', 'é'), { maxLength: 12 });
    fc.assert(
      fc.property(words, words, fc.double({ min: 0.05, max: 1, noNaN: true }), (one, other, similarity) => {
        const index = new NearIndex<string>({ ...options, similarity });
        index.findOrAdd(one, 'one');
        const near = index.find(other);
        const exact = jaccard(shinglesOf(one, 3), shinglesOf(other, 3));
        if (near !== undefined) expect([near.similarity, near.similarity >= similarity]).toEqual([exact, true]);
        if (exact === 1) expect(near).toBeDefined();
      }),
    );
  });
});
