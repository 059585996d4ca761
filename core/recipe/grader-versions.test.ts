import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { defineGrader, definePlugin, defineStage, graderChoice } from '../plugin/define.js';
import { apiVersion } from '../plugin/definitions.js';
import { RunHarness } from '../testing/run-harness.js';
import { parseRecipe } from './load-recipe.js';
import { planRecipe } from './plan-recipe.js';

const plugin = definePlugin({
  name: 'lab',
  version: '1.0.0',
  apiVersion,
  graders: {
    strict: defineGrader({
      description: 'Tells what it is asked with.',
      options: z.strictObject({ rules: z.string().default('all') }),
      relevantVersions: async ({ rules }, { python = 'own' }) => ({ rules, python }),
      start: () => Promise.reject(new Error('nobody asks it')),
    }),
  },
  stages: {
    ask: defineStage({
      description: 'Names a grader.',
      inputs: {},
      outputs: {},
      options: z.strictObject({ grader: graderChoice('lab/strict') }),
      run: async () => ({}),
    }),
  },
});

it('a grader is asked for its versions with its options as it has them, and the Python that the settings name', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin] });
  const file = join(harness.recipeFolder, 'recipe.yaml');
  const recipe = parseRecipe(file, 'name: asked\nstages: { ask: { uses: lab/ask } }', { params: {}, overrides: {} });
  const versionsWith = async (settings: { readonly python?: string }) =>
    (await planRecipe(recipe, harness.catalog, { ...harness.settings, ...settings })).stages[0]?.graderVersions;
  expect(await versionsWith({})).toEqual([{ uses: 'lab/strict', versions: { rules: 'all', python: 'own' } }]);
  expect(await versionsWith({ python: '/environment/bin/python' })).toEqual([
    { uses: 'lab/strict', versions: { rules: 'all', python: '/environment/bin/python' } },
  ]);
});
