import { execFileSync } from 'node:child_process';
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../python/check-python.js';
import { temporaryFolder } from '../temporary-folder.js';

it('a clone has the line ends that its scripts run with, also where git is told to make them those of Windows', async () => {
  const folder = await temporaryFolder();
  const git = (...args: readonly string[]) =>
    execFileSync('git', ['-c', 'core.autocrlf=true', ...args], { cwd: folder, stdio: 'pipe' });
  for (const name of ['.gitattributes', '.ci/run'])
    await copyFile(join(root, name), join(folder, name.split('/').at(-1)!));
  git('init');
  git('add', '.');
  await rm(join(folder, 'run'));
  git('checkout-index', '--all');
  expect(await readFile(join(folder, 'run'), 'utf8')).toBe(await readFile(join(root, '.ci/run'), 'utf8'));
});
