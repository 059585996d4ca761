import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curationRecipe, simmer, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
});
afterAll(() => folder[Symbol.asyncDispose]());

describe('for who writes a recipe', () => {
  it('validate says that a recipe is right', async () => {
    const { code, stdout } = await simmer(['validate', 'small.yaml'], { cwd });
    expect([code, stdout]).toEqual([0, '✔ small.yaml is valid: 3 stages, 0 trainers\n']);
  });

  it('validate looks at a recipe up to a stage, which must be there', async () => {
    const { code, stdout } = await simmer(['validate', 'small.yaml', '--until', 'split'], { cwd });
    expect([code, stdout]).toEqual([0, '✔ small.yaml is valid up to "split": 2 stages, 0 trainers\n']);
    const unknown = await simmer(['validate', 'small.yaml', '--until', 'splt'], { cwd });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('--until splt: there is no stage "splt".');
    expect(unknown.stderr).toContain('Did you mean "split"?');
  });

  it('schema prints a JSON Schema with the stages of the built-in plugins', async () => {
    const { code, stdout } = await simmer(['schema'], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'object' });
    expect(stdout).toContain('curation/decontaminate');
  });

  it('plugins lists contributions by kind, as text and as JSON with their options', async () => {
    expect((await simmer(['plugins'], { cwd })).stdout).toMatch(/budget-forcing\/generate +\S/);
    const plugins = JSON.parse((await simmer(['plugins', '--json'], { cwd })).stdout);
    const sft = plugins.find((plugin: { name: string }) => plugin.name === 'sft');
    expect(sft.stages.train.options.properties.learningRate.default).toBe(1e-5);
    expect(sft.stages.train.inputs.model.types).toEqual(['model']);
  });

  it('plugins tells all that one contribution takes, as text and as JSON', async () => {
    const { code, stdout } = await simmer(['plugins', 'curation/load'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}missing: error \| drop, default error\n {6}\S/m);
    const load = JSON.parse((await simmer(['plugins', 'curation/load', '--json'], { cwd })).stdout);
    expect(load).toMatchObject({ uses: 'curation/load', kind: 'stage', source: 'built-in' });
    expect(load.options.properties.missing.default).toBe('error');
    const unknown = await simmer(['plugins', 'curation/laod'], { cwd });
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('Did you mean "curation/load"?')]);
  });

  it('plugins lists what one plugin has', async () => {
    const { code, stdout } = await simmer(['plugins', 'sft'], { cwd });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^stages(\n {2}sft\/.*)+\n\n$/)]);
    const unknown = await simmer(['plugins', 'curaton'], { cwd });
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('Did you mean "curation"?')]);
  });

  it('plugins tells one contribution of a plugin that a recipe lists', async () => {
    const example = join(import.meta.dirname, '../../docs/examples/keep-short/recipe.yaml');
    const { code, stdout } = await simmer(['plugins', example, 'keep-short/keep-short'], { cwd });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^ {2}words: integer above 0, default 40$/m)]);
    const alone = await simmer(['plugins', 'keep-short/keep-short'], { cwd });
    expect(alone.stderr).toContain('`simmer plugins RECIPE keep-short/keep-short` looks into');
  });

  it('plugins takes a file for a recipe, also where its name reads as that of a contribution', async () => {
    await using own = await workFolder();
    await mkdir(join(own.path, 'curation'));
    await own.write('curation/load', curationRecipe);
    expect((await simmer(['plugins', 'curation/load'], { cwd: own.path })).stdout).toMatch(/^stages\n/);
  });

  it('doctor exits with 3 where something fails, and says what to do about it', async () => {
    const { code, stdout } = await simmer(['doctor', '--python', join(cwd, 'no-python')], { cwd });
    expect(code).toBe(3);
    expect(stdout).toMatch(/^fail +Python/m);
    expect(stdout).toMatch(/^fail Python: \S/m);
    const { checks } = JSON.parse((await simmer(['doctor', '--json'], { cwd })).stdout);
    expect(checks.map((check: { name: string }) => check.name)).toContain('plugins');
    expect(checks.find((check: { name: string }) => check.name === 'plugins').status).toBe('ok');
  });
});

it('doctor says what set each setting', async () => {
  await using own = await workFolder();
  await own.write('simmer.config.yaml', 'home: kept\nresources: { cpus: 3 }\n');
  const options = { cwd: own.path, env: { SIMMER_DATA: own.path } };
  const { stdout } = await simmer(['doctor'], options);
  const shown = stdout.slice(stdout.indexOf('settings, and what set them'));
  expect(shown).toMatch(/^ {2}home +\S+\/kept +\S+\/simmer\.config\.yaml$/m);
  expect(shown).toMatch(/^ {2}resources\.cpus +3 +\S+\/simmer\.config\.yaml$/m);
  expect(shown).toMatch(/^ {2}dataFolder +\S+ +SIMMER_DATA$/m);
  expect(shown).toMatch(/^ {2}resources\.gpus +\d+ +default$/m);
  const { settings } = JSON.parse((await simmer(['doctor', '--json'], options)).stdout);
  expect(settings).toContainEqual({ name: 'dataFolder', value: own.path, source: 'SIMMER_DATA' });
});
