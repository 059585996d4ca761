import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { tellLines } from './process-output.js';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'stdout');
  await writeFile(file, '');
});

it('tells whole lines as they come, and at the end the rest', async () => {
  const said: string[] = [];
  const lines = tellLines(file, (line) => said.push(line));
  await appendFile(file, 'one\n\ntw');
  await expect.poll(() => said).toEqual(['one']);
  await appendFile(file, 'o\nthree');
  await lines.end();
  expect(said).toEqual(['one', 'two', 'three']);
});

it('tells at once what is there by now, where it is asked to', async () => {
  const said: string[] = [];
  const lines = tellLines(file, (line) => said.push(line));
  await appendFile(file, 'one\ntwo\nthr');
  await lines.catchUp();
  expect(said).toEqual(['one', 'two']);
  await lines.end();
  expect(said).toEqual(['one', 'two', 'thr']);
});

it('tells of a line that was written over what stood there last', async () => {
  const said: string[] = [];
  await appendFile(file, ' 10%\r 50%\r100%\r\n');
  await tellLines(file, (line) => said.push(line)).end();
  expect(said).toEqual(['100%']);
});

it('tells no more than anybody reads', async () => {
  const said: string[] = [];
  await appendFile(file, `${'x'.repeat(200_000)}\n${'y\n'.repeat(5_000)}`);
  await tellLines(file, (line) => said.push(line)).end();
  expect(said).toHaveLength(1_001);
  expect(said[0]).toBe('x'.repeat(2_000));
  expect(said.at(-1)).toBe('It wrote more than 1,000 lines; the others are not shown.');
});
