import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { keepAdapter } from './kept-adapter.js';

let folder: string;
let [from, model] = ['', ''];
beforeEach(async () => {
  folder = await temporaryFolder();
  [from, model] = [join(folder, 'from'), join(folder, 'model')];
  await mkdir(from);
  await mkdir(model);
});

it('keeps an adapter beside the whole model, with its base and the same bytes each time', async () => {
  const written = async (modules: readonly string[]) => {
    const described = { r: 8, base_model_name_or_path: null, target_modules: modules };
    await writeFile(join(from, 'adapter_config.json'), JSON.stringify(described));
    await writeFile(join(from, 'adapter_model.safetensors'), 'weights');
    await keepAdapter(from, model, 'Qwen/Qwen2.5-0.5B');
    expect(await readFile(join(model, 'adapter/adapter_model.safetensors'), 'utf8')).toBe('weights');
    const config = await readFile(join(model, 'adapter/adapter_config.json'), 'utf8');
    await rm(join(model, 'adapter'), { recursive: true });
    return config;
  };
  const config = await written(['v_proj', 'k_proj']);
  expect(JSON.parse(config)).toEqual({
    r: 8,
    base_model_name_or_path: 'Qwen/Qwen2.5-0.5B',
    target_modules: ['k_proj', 'v_proj'],
  });
  expect(await written(['k_proj', 'v_proj'])).toBe(config);
});

it('names no path of this machine as the base of an adapter, where that has no name elsewhere', async () => {
  const described = { r: 8, base_model_name_or_path: '/home/someone/.cache/simmer/models/1f/model' };
  await writeFile(join(from, 'adapter_config.json'), JSON.stringify(described));
  await writeFile(join(from, 'adapter_model.safetensors'), 'weights');
  await keepAdapter(from, model, undefined);
  const config = await readFile(join(model, 'adapter/adapter_config.json'), 'utf8');
  expect(JSON.parse(config)).toEqual({ r: 8, base_model_name_or_path: null });
});

it('keeps none where a trainer has adapters of another kind', async () => {
  await writeFile(join(from, 'adapter_model.bin'), '');
  await keepAdapter(from, model, undefined);
  expect(existsSync(join(model, 'adapter'))).toBe(false);
  await writeFile(join(from, 'adapter_config.json'), '{}');
  await keepAdapter(from, model, undefined);
  expect(existsSync(join(model, 'adapter'))).toBe(false);
});
