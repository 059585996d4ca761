import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { deferred } from '../deferred.js';
import { contentDigest, globDigest } from './content-digest.js';

/** Called before a file is read. */
const reading = vi.hoisted(() => vi.fn<() => Promise<void>>());
vi.mock(import('../files/file-hash.js'), async (original) => {
  const actual = await original();
  return { ...actual, sha256OfFile: async (path) => reading().then(() => actual.sha256OfFile(path)) };
});

async function folderWith(names: readonly string[]): Promise<string> {
  const folder = await temporaryFolder();
  for (const name of names) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), `of ${name}`);
  }
  return folder;
}

it('is the same on every machine and in every version, and knows no home', async () => {
  reading.mockResolvedValue(undefined);
  const folder = await folderWith([
    'b.txt',
    'a/2.txt',
    'a/10.txt',
    'a/deep/1.txt',
    '.simmer/format',
    '.simmer/runs/r/log',
  ]);
  expect(await contentDigest(folder)).toBe('62b8674cd8834225176b752cd5a055c672d0585f125708da2d413262a61f7c27');
  expect(await globDigest('**/*.txt', folder)).toBe('5bcd5f67a1afe5e38e8a9f5417ea20a2d8a543e5fa3080225cdfafeb1a59df41');
});

it.each(['a folder', 'a glob'])('looks at several files of %s together, and at few at once', async (what) => {
  const folder = await folderWith(Array.from({ length: 40 }, (_, index) => `${index}.txt`));
  const { promise: together, resolve: areTogether } = deferred<void>();
  let now = 0;
  let most = 0;
  reading.mockImplementation(async () => {
    most = Math.max(most, ++now);
    if (now === 4) areTogether();
    await together;
    now -= 1;
  });
  await (what === 'a glob' ? globDigest('*.txt', folder) : contentDigest(folder));
  expect(most).toBeGreaterThanOrEqual(4);
  expect(most).toBeLessThanOrEqual(8);
});
