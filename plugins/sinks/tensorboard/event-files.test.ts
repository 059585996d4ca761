import { appendFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { curveIn, eventFilesOf } from './board.fixture.js';
import { EventFiles } from './event-files.js';
import type { Summary } from './event-messages.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const at = (step: number, value = step): Summary => ({ time: 1000, step, values: [{ tag: 'loss', value }] });

/** What a process does that is given these steps, from its start to its end. */
async function write(...summaries: readonly Summary[]): Promise<void> {
  await using files = await EventFiles.open(folder);
  for (const summary of summaries) await files.add(summary);
}

const steps = async () => (await curveIn(folder, 'loss')).map(([step]) => step);

describe('event files', () => {
  it('are made in a folder that is not there yet, with the first summary', async () => {
    folder = join(folder, 'a', 'b');
    await write();
    await expect(eventFilesOf(folder)).rejects.toThrow('ENOENT');
    await write(at(1));
    expect(await steps()).toEqual([1]);
  });

  it('have each step of a tag once, as it was first given', async () => {
    await write(at(1), at(2), at(2, 7), at(1), at(3));
    expect(await curveIn(folder, 'loss')).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
  });

  it('are gone on with in a further file that sorts behind, also within the same second', async () => {
    await write(at(1), at(2));
    await write(at(1), at(2), at(3));
    await write(at(1), at(2), at(3), at(4));
    expect(await eventFilesOf(folder)).toHaveLength(3);
    expect(await steps()).toEqual([1, 2, 3, 4]);
  });

  it('lie beside folders and files of any name', async () => {
    await mkdir(join(folder, 'tfevents'));
    await writeFile(join(folder, 'notes.txt'), 'Not records.');
    await write(at(1));
    await rm(join(folder, 'notes.txt'));
    expect(await steps()).toEqual([1]);
  });

  it('gain no file where nothing is new', async () => {
    await write(at(1));
    await write(at(1));
    expect(await eventFilesOf(folder)).toHaveLength(1);
  });

  it('are gone on with wherever the last one was torn: nothing is lost, nothing is there twice', async () => {
    await write(at(1), at(2));
    const [file = ''] = await eventFilesOf(folder);
    const whole = await readFile(file);
    for (let cut = 0; cut < whole.length; cut++) {
      await rm(folder, { recursive: true });
      await write(at(1), at(2));
      const [torn = ''] = await eventFilesOf(folder);
      await truncate(torn, cut);
      await write(at(1), at(2), at(3));
      expect(await steps(), `cut at byte ${cut}`).toEqual([1, 2, 3]);
    }
  });

  it('are gone on with where a disk filled the end up with something else', async () => {
    await write(at(1));
    const [file = ''] = await eventFilesOf(folder);
    await appendFile(file, Buffer.alloc(100));
    await write(at(1), at(2));
    expect(await steps()).toEqual([1, 2]);
  });

  it('are not opened below a file', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(EventFiles.open(join(folder, 'file', 'a'))).rejects.toThrow('ENOTDIR');
  });

  it('tell of a write that failed, once', async () => {
    const place = join(folder, 'a');
    const files = await EventFiles.open(place);
    await writeFile(place, 'No folder can be made here.');
    await files.add(at(1));
    await expect(files.flushed()).rejects.toThrow('EEXIST');
    await files[Symbol.asyncDispose]();
  });
});
