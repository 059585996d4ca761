import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadSettings } from '../core/config/settings.js';
import { builtInPlugins, PluginCatalog } from '../core/plugin/catalog.js';
import { loadRecipe } from '../core/recipe/load-recipe.js';
import type { Plan } from '../core/recipe/plan.js';
import { planRecipe } from '../core/recipe/plan-recipe.js';

const folder = fileURLToPath(new URL('../recipes', import.meta.url));
const recipes = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));

/** Plans a recipe as on a machine with no data folder and no network. */
async function planOf(name: string): Promise<Plan> {
  const recipe = await loadRecipe(join(folder, name), { params: {}, overrides: {} });
  const catalog = new PluginCatalog({ builtIn: builtInPlugins(), recipePlugins: [], baseFolder: recipe.folder });
  return planRecipe(recipe, catalog, await loadSettings({ cwd: folder, env: {}, flags: {} }));
}

describe('each recipe that comes with Simmer', () => {
  test.each(recipes)('%s plans without data and network', async (name) => {
    const plan = await planOf(name);
    expect(plan.recipe).toBe(name.replace('.yaml', ''));
    expect(plan.stages.map((stage) => stage.uses)).toEqual(
      expect.arrayContaining(['torch-trainer/base-model', 'sft/train', 'budget-forcing/generate', 'eval/compare']),
    );
  });

  test.each(recipes)(
    '%s opens with what it is, what to run first, how to launch it, and one override',
    async (name) => {
      const [what, first, launch, override, ...rest] = (await readFile(join(folder, name), 'utf8')).split('\n');
      expect(what).toMatch(/^# .+\.$/);
      expect(first).toMatch(/^# Run first: /);
      expect(launch).toContain(`simmer run recipes/${name}`);
      expect(override).toMatch(/^# Override: {2}simmer run recipes\/.+ (-p|--set) /);
      expect(rest[0]).toMatch(/^name: /);
    },
  );
});

test('s1 is trained as its paper says (appendix D)', async () => {
  const plan = await planOf('s1.yaml');
  expect(plan.stages.find((stage) => stage.name === 'tuned')!.semanticOptions).toMatchObject({
    method: 'full',
    learningRate: 1e-5,
    epochs: 5,
    globalBatchSize: 16,
    warmupRatio: 0.05,
    schedule: 'cosine',
    adamBeta1: 0.9,
    adamBeta2: 0.95,
    weightDecay: 1e-4,
    precision: 'bfloat16',
    maxSequenceLength: 32_768,
    packing: false,
    padToken: '<|fim_pad|>',
  });
  expect(plan.trainers.qwen!.resources).toMatchObject({ nodes: 2, gpus: 16 });
});
