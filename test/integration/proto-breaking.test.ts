import { spawnSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const field = '  uint64 from_sequence = 2;';

/** What the check of proto files says of a change to the control plane, against the files as they are. */
async function afterChange(from: string, to: string) {
  const folder = await temporaryFolder();
  await cp(join(root, 'proto'), folder, { recursive: true, filter: (path) => !path.includes('clients') });
  const file = join(folder, 'simmer/control/v1/control.proto');
  const text = await readFile(file, 'utf8');
  expect(text).toContain(from);
  await writeFile(file, text.replace(from, to));
  const args = ['breaking', folder, '--against', 'proto'];
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/buf'), args, { cwd: root, encoding: 'utf8' });
  return { status, stdout };
}

it('a change that would break clients is found, by its name', async () => {
  const { status, stdout } = await afterChange(field, '  string from_sequence = 2;');
  expect(status).not.toBe(0);
  expect(stdout).toContain('from_sequence');
});

it('a field more breaks nobody', async () => {
  expect(await afterChange(field, `${field}\n  // More.\n  bool more = 99;`)).toEqual({ status: 0, stdout: '' });
});
