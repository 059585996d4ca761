import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { makeCacheFolder, writingToCache } from './cache-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

it.each(['', 'simmer'])(
  'says what to set where a file is in the place of the folder or above it: "%s"',
  async (below) => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(makeCacheFolder(join(file, below))).rejects.toMatchObject({
      code: 'not_writable',
      kind: 'environment',
      message: expect.stringContaining(`Cannot write to ${join(file, below)}: `),
      hint: expect.stringMatching(/SIMMER_CACHE or `cacheFolder`/),
    });
  },
);

it('says it of a folder that takes none, too', async () => {
  await expect(makeCacheFolder('/proc/simmer/cache')).rejects.toMatchObject({
    code: 'not_writable',
    message: expect.stringContaining('Cannot write to /proc/simmer/cache: '),
    hint: expect.not.stringContaining('A file is where'),
  });
});

it('says the same where the user may not write there', async () => {
  const denied = Object.assign(new Error("EACCES: permission denied, mkdir '/nowhere/cache'"), { code: 'EACCES' });
  const writing = writingToCache('/nowhere/cache', () => Promise.reject(denied));
  await expect(writing).rejects.toMatchObject({ code: 'not_writable', kind: 'environment' });
});
