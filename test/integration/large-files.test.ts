import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';

it('the digests of large files are made in threads, no more at once than there are cores, however many ask', async () => {
  const { hashFile } = (await import(pathToFileURL(builtModule('core/files/file-hash.ts')).href)) as {
    readonly hashFile: typeof import('../../core/files/file-hash.js').hashFile;
  };
  const folder = await temporaryFolder();
  const size = 2 ** 26 + 5;
  const mostThreads = Math.min(8, availableParallelism());
  const files = Array.from({ length: mostThreads + 2 }, (_, at) => join(folder, `${at}`));
  for (const [at, path] of files.entries()) {
    await using file = await open(path, 'w');
    await file.write(`${at}`);
    // The rest of it takes no space, and is read as zeros.
    await file.truncate(size);
  }
  let threads = 0;
  const count = () => void threads++;
  process.on('worker', count);
  onTestFinished(() => void process.off('worker', count));
  const hashed = await Promise.all(files.map((path) => hashFile(path, { sync: true })));
  const expected = files.map((_, at) => {
    const content = Buffer.alloc(size);
    content.write(`${at}`);
    return { size, sha256: createHash('sha256').update(content).digest('hex') };
  });
  expect(hashed).toEqual(expected);
  expect(threads).toBe(mostThreads);
});
