import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Settings } from '../core/config/settings.js';
import { exitCodes, isUserError } from '../core/errors.js';
import { PluginCatalog } from '../core/plugin/catalog.js';
import { loadRecipe } from '../core/recipe/load-recipe.js';
import type { Overrides } from '../core/recipe/overrides.js';
import { planRecipe } from '../core/recipe/plan-recipe.js';
import { sharedFolder } from './temporary-folder.js';

const samples = fileURLToPath(new URL('samples', import.meta.url));
const settings: Settings = {
  home: '/home',
  cacheFolder: '/cache',
  resources: { cpus: 2, memoryBytes: 4e9, gpus: 0 },
  sources: {},
};

/** Plans a recipe with no plugin but its own, and tells what came of it as text. */
async function outcomeOf(file: string, given: Overrides, folder: string): Promise<string> {
  try {
    const recipe = await loadRecipe(file, given);
    const catalog = new PluginCatalog({ builtIn: {}, recipePlugins: recipe.plugins, baseFolder: recipe.folder });
    const plan = await planRecipe(recipe, catalog, settings);
    const text = JSON.stringify(plan, (key, value) => (key === 'codeDigest' ? 'digest of the code' : value), 2);
    return `${text.replaceAll(folder, '.')}\n`;
  } catch (error) {
    if (!isUserError(error)) throw error;
    const lines = [`exit ${exitCodes[error.kind]}, ${error.code}: ${error.message}`];
    if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`);
    for (const { code, message, position, path, hint } of error.problems) {
      const place = position === undefined ? '' : `${position.file}:${position.line}:${position.column}: `;
      lines.push(`${place}${code}${path === undefined ? '' : ` at ${path}`}: ${message}`);
      if (hint !== undefined) lines.push(`  hint: ${hint}`);
    }
    return `${lines.join('\n').replaceAll(`${folder}/`, '').replaceAll(folder, '.')}\n`;
  }
}

async function casesBelow(folder: string): Promise<readonly (readonly [string, string])[]> {
  const cases: [string, string][] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const recipe = (await readdir(join(folder, entry.name))).find((name) => name.startsWith('recipe.'));
    if (recipe !== undefined) cases.push([entry.name, recipe]);
  }
  return cases;
}

/** Of each folder, the recipe must come to what expected.txt says; `vitest -u` writes it, and a person reads it. */
describe('the sample', async () => {
  test.each(await casesBelow(samples))('%s', async (name, recipe) => {
    const folder = join(samples, name);
    const given = await readFile(join(folder, 'arguments.json'), 'utf8').then(
      (text) => JSON.parse(text) as Overrides,
      () => ({ params: {}, overrides: {} }),
    );
    const outcome = await outcomeOf(join(folder, recipe), given, folder);
    await expect(outcome).toMatchFileSnapshot(join(folder, 'expected.txt'));
  });
});

describe('a recipe that is too much', () => {
  const folder = sharedFolder();
  const none = { params: {}, overrides: {} };

  async function outcomeOfText(text: string): Promise<string> {
    await writeFile(join(folder, 'recipe.yaml'), text);
    return outcomeOf(join(folder, 'recipe.yaml'), none, folder);
  }

  const tooDeep = (column: number) =>
    [
      'exit 2, invalid_recipe: recipe.yaml has one problem.',
      `recipe.yaml:1:${column}: too_deep: Lists and maps are nested more than 64 deep here.`,
      '  hint: Is a bracket left open?',
      '',
    ].join('\n');

  test('20,000 open brackets', async () => {
    expect(await outcomeOfText(`stages: ${'['.repeat(20_000)}`)).toBe(tooDeep(73));
  });

  test('20,000 brackets that are closed', async () => {
    expect(await outcomeOfText(`stages: ${'['.repeat(20_000)}${']'.repeat(20_000)}`)).toBe(tooDeep(73));
  });

  test('20,000 dashes, at which the library by itself would take the process down', async () => {
    expect(await outcomeOfText('- '.repeat(20_000))).toBe(tooDeep(131));
  });

  test('a hundred megabytes: refused by its size, without being read', async () => {
    const file = join(folder, 'huge.yaml');
    const handle = await open(file, 'w');
    await handle.truncate(100 * 1024 * 1024);
    await handle.close();
    const before = process.memoryUsage().rss;
    expect(await outcomeOf(file, none, folder)).toBe(
      'exit 2, file_too_large: huge.yaml has 100.0 MiB; a recipe has at most 1 MiB.\n' +
        '  hint: Data belongs in files that the recipe names, not in the recipe.\n',
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 * 1024);
  });

  test('a chain of 5,000 stages is planned', async () => {
    const stages = Array.from({ length: 5000 }, (_, index) =>
      index === 0
        ? '  s0: { uses: kitchen/gather }'
        : `  s${index}: { uses: kitchen/mix, with: { dataset: "\${{ stages.s${index - 1}.dataset }}" } }`,
    );
    const plugin = join(samples, 'kitchen', 'plugin.js');
    const outcome = await outcomeOfText(
      ['name: chain', `plugins: [${plugin}]`, 'stages:', ...stages.reverse()].join('\n'),
    );
    const names = (JSON.parse(outcome) as { stages: { name: string }[] }).stages.map((stage) => stage.name);
    expect(names).toEqual(Array.from({ length: 5000 }, (_, index) => `s${index}`));
  });
});

describe('what is no recipe', () => {
  const none = { params: {}, overrides: {} };

  test('a file that is not there', async () => {
    expect(await outcomeOf('/nowhere/recipe.yaml', none, '/nowhere')).toBe(
      'exit 2, file_missing: There is no recipe recipe.yaml.\n' +
        '  hint: Paths on the command line are relative to the folder that you are in.\n',
    );
  });

  test('a file that is not there, of a recipe that comes with Simmer', async () => {
    expect(await outcomeOf('/nowhere/recipes/s1.yaml', none, '/nowhere')).toBe(
      'exit 2, file_missing: There is no recipe recipes/s1.yaml.\n' +
        `  hint: It comes with Simmer: name it ${join(import.meta.dirname, '../recipes/s1.yaml')}, or copy it here.\n`,
    );
  });

  test('a folder', async () => {
    expect(await outcomeOf(samples, none, '/nowhere')).toBe(
      `exit 2, not_a_file: ${samples} is a folder, not a recipe.\n  hint: Name the file of the recipe.\n`,
    );
  });
});
