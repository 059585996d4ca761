import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { byteSize } from './byte-size.js';
import { gpuDevices } from './machine.js';
import { loadSettings } from './settings.js';

let cwd: string;

beforeEach(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, 'package.json'), '{}');
});

const load = (env: Record<string, string> = {}, flags = {}, from = cwd) => loadSettings({ cwd: from, env, flags });

test('by default, runs are in the working folder and the cache is the user\u2019s', async () => {
  const settings = await load({ XDG_CACHE_HOME: '/x' });
  expect(settings).toMatchObject({ home: join(cwd, '.simmer'), cacheFolder: '/x/simmer' });
  expect(settings.dataFolder).toBeUndefined();
  expect(settings.sources).toMatchObject({ home: 'default', 'resources.cpus': 'default' });
  expect(settings.resources.cpus).toBeGreaterThanOrEqual(1);
  expect(settings.resources.memoryBytes).toBeGreaterThan(1e8);
});

test('a flag goes before the environment, the environment before the file', async () => {
  const file = join(cwd, 'simmer.config.yaml');
  await writeFile(file, 'home: a\ncacheFolder: b\npython: ~/bin/python\nresources: { memory: 2 GiB, cpus: 3 }\n');
  const settings = await load({ SIMMER_HOME: 'env', SIMMER_CACHE: 'env' }, { home: 'flag', resources: { cpus: 5 } });
  expect(settings).toMatchObject({
    home: join(cwd, 'flag'),
    cacheFolder: join(cwd, 'env'),
    python: join(homedir(), 'bin/python'),
    resources: { memoryBytes: 2 ** 31, cpus: 5 },
  });
  expect(settings.sources).toMatchObject({
    home: '--home',
    cacheFolder: 'SIMMER_CACHE',
    python: file,
    'resources.memoryBytes': file,
    'resources.gpus': 'default',
  });
});

test('a file counts for the folders below it, up to the project, and its paths are relative to it', async () => {
  await writeFile(join(cwd, '.simmerrc'), 'home: runs\n');
  await mkdir(join(cwd, 'deep/er'), { recursive: true });
  expect((await load({}, {}, join(cwd, 'deep/er'))).home).toBe(join(cwd, 'runs'));
  await writeFile(join(cwd, 'deep/package.json'), '{}');
  expect((await load({}, {}, join(cwd, 'deep/er'))).home).toBe(join(cwd, 'deep/er/.simmer'));
});

test('everything that is wrong in the file is told, with its place', async () => {
  const file = join(cwd, 'simmer.config.yaml');
  await writeFile(file, 'hom: a\nresources:\n  cpus: many\n  memory: some\n');
  await expect(load()).rejects.toMatchObject({
    code: 'invalid_settings',
    problems: [
      { code: 'unknown_key', position: { file, line: 1, column: 1 }, hint: 'Did you mean "home"?' },
      { code: 'wrong_type', path: 'resources.cpus', position: { file, line: 3, column: 9 } },
      { code: 'wrong_value', path: 'resources.memory', position: { file, line: 4, column: 11 } },
    ],
  });
});

describe('no settings are code', () => {
  const trap = 'globalThis.simmerTrap = true; module.exports = { home: "trapped" };';

  test.each(['simmer.config.js', 'simmer.config.cjs', '.simmerrc.js', '.config/config.js', '.config/simmerrc.cjs'])(
    '%s is not run',
    async (name) => {
      await mkdir(join(cwd, '.config'), { recursive: true });
      await writeFile(join(cwd, name), trap);
      const before = process.cwd();
      process.chdir(cwd);
      try {
        expect((await load()).home).toBe(join(cwd, '.simmer'));
      } finally {
        process.chdir(before);
      }
      expect(globalThis).not.toHaveProperty('simmerTrap');
    },
  );

  test('nor is what a file would import', async () => {
    await writeFile(join(cwd, 'trap.js'), trap);
    await writeFile(join(cwd, 'simmer.config.yaml'), '$import: ./trap.js\n');
    await expect(load()).rejects.toMatchObject({ problems: [{ code: 'unknown_key', path: '$import' }] });
    expect(globalThis).not.toHaveProperty('simmerTrap');
  });
});

test('a data folder that is not there is refused, with what named it', async () => {
  await expect(load({ SIMMER_DATA: 'nowhere' })).rejects.toMatchObject({
    code: 'folder_missing',
    message: `The data folder ${join(cwd, 'nowhere')} (from SIMMER_DATA) is not there.`,
  });
});

test('the number of accelerators is what CUDA may see', async () => {
  expect((await load({ CUDA_VISIBLE_DEVICES: '0,1' })).resources.gpus).toBe(2);
  expect((await load({ CUDA_VISIBLE_DEVICES: '' })).resources.gpus).toBe(0);
  expect((await load({ CUDA_VISIBLE_DEVICES: '3,-1,4' })).resources.gpus).toBe(1);
  expect(gpuDevices({ CUDA_VISIBLE_DEVICES: ' GPU-8f2c, 3 ,4' }, 2)).toEqual(['GPU-8f2c', '3']);
  expect(gpuDevices({}, 3)).toEqual(['0', '1', '2']);
});

test.each([
  [1024, 1024],
  ['2GB', 2e9],
  ['1.5 GiB', 1.5 * 2 ** 30],
  ['512m', 512e6],
  ['16Gi', 2 ** 34],
])('%j of memory is %d bytes', (written, bytes) => {
  expect(byteSize.parse(written)).toBe(bytes);
});
