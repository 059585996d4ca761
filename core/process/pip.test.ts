import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { downloadWithPip } from './pip.js';
import { runCommand } from './run-command.js';

const { signal } = new AbortController();
let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => vi.unstubAllEnvs());

/** A distribution of sources alone, whose build says that it was run; it needs no network. */
async function makeSources(name: string, witness: string): Promise<void> {
  const root = `${name}-1.0`;
  await mkdir(join(folder, root));
  await mkdir(join(folder, 'index'));
  await writeFile(
    join(folder, root, 'pyproject.toml'),
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
  );
  await writeFile(join(folder, root, 'backend.py'), `open(${JSON.stringify(witness)}, "w").write("was run")\n`);
  await writeFile(join(folder, root, 'PKG-INFO'), `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`);
  const made = await runCommand(['tar', '-czf', join(folder, 'index', `${root}.tar.gz`), '-C', folder, root], {
    signal,
  });
  expect(made.exitCode).toBe(0);
}

it('what has to be built is not downloaded, and no code of it is run', async () => {
  const witness = join(folder, 'witness');
  await makeSources('tinymodel', witness);
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', join(folder, 'index'));
  // The user's own settings do not bring it back.
  vi.stubEnv('PIP_NO_BINARY', ':all:');
  const download = join(folder, 'download');
  await expect(downloadWithPip('python3', 'tinymodel==1.0', download, signal)).rejects.toMatchObject({
    code: 'pip_failed',
    message: expect.stringContaining('tinymodel==1.0'),
  });
  expect(existsSync(witness)).toBe(false);
  expect(existsSync(download) ? await readdir(download) : []).toEqual([]);
});
