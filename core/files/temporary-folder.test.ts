import { rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { makeTemporaryFolder } from './temporary-folder.js';

it.each(['there', 'gone'])('is a new one, where the folder of TMPDIR is %s', async (which) => {
  const folder = await temporaryFolder();
  const base = which === 'gone' ? join(folder, 'nowhere') : folder;
  vi.stubEnv('TMPDIR', base);
  onTestFinished(() => void vi.unstubAllEnvs());
  const made = await makeTemporaryFolder('simmer-test-');
  onTestFinished(() => rm(made, { recursive: true }));
  expect(dirname(made)).toBe(which === 'gone' ? '/tmp' : base);
  expect((await stat(made)).isDirectory()).toBe(true);
});
