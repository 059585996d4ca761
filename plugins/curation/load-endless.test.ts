import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { expect, it } from 'vitest';
import { loadFolder } from './load.fixture.js';

const { inside, loadWith } = loadFolder();

/** Unpacked so many megabytes. */
async function packed(name: string, beginning: string, part: Buffer, megabytes: number): Promise<string> {
  const file = inside(name);
  const parts = Array.from({ length: megabytes }, () => part);
  await pipeline(Readable.from([Buffer.from(beginning), ...parts]), createGzip({ level: 1 }), createWriteStream(file));
  return file;
}

it.each([
  ['endless.jsonl.gz', '{"question":"a"}\n', 'line'],
  ['endless.json.gz', '[\n', 'line'],
  ['endless.csv.gz', 'question\n', 'row'],
])('gives up a line without end in %s, before it fills the memory', async (name, beginning, what) => {
  const file = await packed(name, beginning, Buffer.alloc(2 ** 20, 'a'), 300);
  await expect(loadWith({ sources: { mine: { path: file } } })).rejects.toMatchObject({
    code: 'malformed_data',
    message: expect.stringContaining(`${name}:2: this ${what} goes on for more than 256 MB.`),
  });
});

it('gives up a CSV field in quotes without end, before it fills the memory', async () => {
  const part = Buffer.alloc(2 ** 20, 'a');
  part.write('\n', part.length - 1);
  const file = await packed('quoted.csv.gz', 'question\n"', part, 300);
  await expect(loadWith({ sources: { mine: { path: file } } })).rejects.toMatchObject({
    code: 'malformed_data',
    message: `${file}:2: this row goes on for more than 256 MB.`,
  });
});

it('gives up a JSON file that is longer than a text can be', async () => {
  const part = Buffer.alloc(2 ** 20, ' ');
  part.write('\n', part.length - 1);
  const file = await packed('endless.json.gz', '[', part, 520);
  await expect(loadWith({ sources: { mine: { path: file } } })).rejects.toMatchObject({
    code: 'malformed_data',
    message: `${file}: it has more than 500 million characters, and is read as a whole.`,
  });
});
