import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Log, Sample } from 'simmerkit';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { SampleJournal } from './sample-journal.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const sampleOf = (sampleIndex: number, thinking: string): Sample => ({
  promptId: 'p',
  policyId: '128',
  sampleIndex,
  seed: 2n ** 64n - 1n,
  promptTokens: 1,
  thinkingTokenIds: [1, 2],
  thinking,
  answerTokenIds: [],
  answer: '',
  interventions: [],
  thinkingEnd: 'natural',
  finishReason: 'stop',
  sharedThinkingTokens: 0,
});

async function write(texts: readonly string[]): Promise<void> {
  await using journal = await SampleJournal.open(folder);
  for (const [index, text] of texts.entries()) await journal.add(sampleOf(index, text));
}

describe('the journal of samples', () => {
  it('gives back what was added, whatever the text, after it was opened again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 8 }), async (texts) => {
        await rm(join(folder, 'samples.jsonl'), { force: true });
        await write(texts);
        await using journal = await SampleJournal.open(folder);
        expect(journal.size).toBe(texts.length);
        for (const [index, text] of texts.entries()) {
          expect(await journal.read('p', '128', index)).toEqual(sampleOf(index, text));
        }
      }),
      { numRuns: 30 },
    );
  });

  it('drops a torn end wherever it was torn, and goes on from there', async () => {
    await write(['one', 'two ä']);
    const file = join(folder, 'samples.jsonl');
    const whole = await readFile(file);
    const firstEnd = whole.indexOf(0x0a) + 1;
    for (let length = firstEnd; length < whole.length; length++) {
      await writeFile(file, whole.subarray(0, length));
      await using journal = await SampleJournal.open(folder);
      expect(journal.size).toBe(1);
      await journal.add(sampleOf(1, 'two ä'));
      expect(await readFile(file)).toEqual(whole);
    }
  });

  it('passes over a line that is damaged, and says so', async () => {
    await write(['one', 'two', 'three']);
    const file = join(folder, 'samples.jsonl');
    const bytes = await readFile(file);
    const secondStart = bytes.indexOf(0x0a) + 1;
    bytes.fill(0, secondStart, secondStart + 10);
    await writeFile(file, bytes);
    for (const added of [[], [1]]) {
      const warning = vi.fn();
      await using journal = await SampleJournal.open(folder, { warning } as unknown as Log);
      expect([0, 1, 2].filter((index) => journal.has('p', '128', index))).toEqual([0, 2]);
      expect((await journal.read('p', '128', 2)).thinking).toBe('three');
      expect(warning).toHaveBeenCalledWith(expect.stringContaining('samples.jsonl is damaged: 1 of its samples'));
      for (const index of added) await journal.add(sampleOf(index, 'again'));
    }
    await using journal = await SampleJournal.open(folder);
    expect(journal.size).toBe(3);
    expect((await journal.read('p', '128', 1)).thinking).toBe('again');
    expect(await SampleJournal.count(folder)).toBe(3);
  });

  it('keeps the first of a sample that comes twice', async () => {
    await using journal = await SampleJournal.open(folder);
    await journal.add(sampleOf(0, 'first'));
    await journal.add(sampleOf(0, 'second'));
    expect((await journal.read('p', '128', 0)).thinking).toBe('first');
  });
});
