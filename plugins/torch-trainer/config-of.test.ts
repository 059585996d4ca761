import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { configOf } from './config-of.js';

const commit = '5ede1c97bbab6ce5cda5812749b4c0bdf79b18dd';
const source = `hf://somebody/something@${commit}`;
const where = { recipeFolder: '/nowhere' };

afterEach(() => void vi.unstubAllEnvs());

it.each([
  ['HF_HUB_CACHE', ''],
  ['HUGGINGFACE_HUB_CACHE', ''],
  ['HF_HOME', 'hub'],
  ['XDG_CACHE_HOME', 'huggingface/hub'],
  ['HOME', '.cache/huggingface/hub'],
])('is read of a commit that was fetched, in the cache below %s', async (variable, below) => {
  const folder = await temporaryFolder();
  for (const other of ['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME'])
    vi.stubEnv(other, undefined);
  vi.stubEnv(variable, folder);
  const snapshot = join(folder, below, 'models--somebody--something', 'snapshots', commit);
  expect(await configOf(source, where)).toBeUndefined();
  await mkdir(snapshot, { recursive: true });
  await writeFile(join(snapshot, 'config.json'), JSON.stringify({ model_type: 'llama', hidden_size: 64 }));
  expect(await configOf(source, where)).toEqual({ model_type: 'llama', hidden_size: 64 });
  expect(await configOf(source.replace(/.$/, '0'), where)).toBeUndefined();
});

it('is read in a cache that is named from the home on', async () => {
  const folder = await temporaryFolder();
  vi.stubEnv('HOME', folder);
  vi.stubEnv('HF_HUB_CACHE', '~/models');
  const snapshot = join(folder, 'models/models--somebody--something/snapshots', commit);
  await mkdir(snapshot, { recursive: true });
  await writeFile(join(snapshot, 'config.json'), '{ "hidden_size": 64 }');
  expect(await configOf(source, where)).toEqual({ hidden_size: 64 });
});
