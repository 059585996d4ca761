import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { unlessMissing } from './unless-missing.js';

it('is for what is not there, be it that it would lie below a file, and for no other failure', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'file');
  await writeFile(file, '');
  expect(await readFile(join(folder, 'other')).catch(unlessMissing)).toBeUndefined();
  expect(await readFile(join(file, 'below')).catch(unlessMissing)).toBeUndefined();
  await expect(readFile(folder).catch(unlessMissing)).rejects.toMatchObject({ code: 'EISDIR' });
});
