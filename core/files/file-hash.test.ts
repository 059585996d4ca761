import { createHash } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { builtModule } from '../../test/integration/built-module.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { sha256OfFile } from './file-hash.js';

describe('the digest of a file', () => {
  test.each([0, 1, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20 - 1])('of %i bytes is that of its content', async (size) => {
    const file = join(await temporaryFolder(), 'content');
    const content = Buffer.from(Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >>> 12)) % 251));
    await writeFile(file, content);
    expect(await sha256OfFile(file)).toBe(createHash('sha256').update(content).digest('hex'));
  });

  test('of large ones is made in threads, and leaves this one to others', async () => {
    const { hashFile } = (await import(pathToFileURL(builtModule('core/files/file-hash.ts')).href)) as {
      readonly hashFile: typeof import('./file-hash.js').hashFile;
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
});
