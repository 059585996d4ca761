import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { sha256OfFile } from './file-hash.js';

describe('the digest of a file', () => {
  test.each([0, 1, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20 - 1])('of %i bytes is that of its content', async (size) => {
    const file = join(await temporaryFolder(), 'content');
    const content = Buffer.from(Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >>> 12)) % 251));
    await writeFile(file, content);
    expect(await sha256OfFile(file)).toBe(createHash('sha256').update(content).digest('hex'));
  });
});
