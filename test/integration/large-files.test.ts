import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';

it('the digest of large files is made in threads, and leaves this one to others', async () => {
  const { hashFile } = (await import(pathToFileURL(builtModule('core/files/file-hash.ts')).href)) as {
    readonly hashFile: typeof import('../../core/files/file-hash.js').hashFile;
  };
  const folder = await temporaryFolder();
  const size = 2 ** 26 + 5;
  const files = ['a', 'b', 'c'].map((name) => join(folder, name));
  for (const [at, path] of files.entries()) {
    await using file = await open(path, 'w');
    await file.write(`${at}`);
    // The rest of it takes no space, and is read as zeros.
    await file.truncate(size);
  }
  const before = performance.eventLoopUtilization();
  const hashed = await Promise.all(files.map((path) => hashFile(path, { sync: true })));
  const { active, idle } = performance.eventLoopUtilization(before);
  const expected = files.map((_, at) => {
    const content = Buffer.alloc(size);
    content.write(`${at}`);
    return { size, sha256: createHash('sha256').update(content).digest('hex') };
  });
  expect(hashed).toEqual(expected);
  expect(active).toBeLessThan(idle);
});
