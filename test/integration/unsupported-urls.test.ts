import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadSettings } from '../../core/config/settings.js';
import { isUserError, type Problem } from '../../core/errors.js';
import { PluginCatalog } from '../../core/plugin/catalog.js';
import { loadRecipe } from '../../core/recipe/load-recipe.js';
import { planRecipe } from '../../core/recipe/plan-recipe.js';
import { sharedFolder } from '../temporary-folder.js';

/** Every option of the built-in plugins that names a server or a file, once. */
const recipe = `name: urls
stages:
  loaded:
    uses: curation/load
    with: { sources: { pool: { path: "ftp://a.example/pool.jsonl" } } }
  distilled:
    uses: curation/distill
    with: { dataset: "\${{ stages.loaded.dataset }}", model: m, url: "ftp://a.example/v1" }
  classified:
    uses: curation/classify
    with: { dataset: "\${{ stages.loaded.dataset }}", model: m, url: "ftp://a.example/v1" }
  hard:
    uses: curation/difficulty
    with:
      dataset: \${{ stages.loaded.dataset }}
      solvers: [{ model: m, url: "ftp://a.example/v1" }]
      grader: { uses: eval/judge, with: { model: m, url: "ftp://a.example/v1" } }
  base:
    uses: torch-trainer/base-model
    with: { source: "ftp://a.example/model" }
  random:
    uses: torch-trainer/base-model
    with: { source: { random: { config: {}, tokenizer: "ftp://a.example/tokenizer.json" } } }
  generated:
    uses: budget-forcing/generate
    with:
      model: \${{ stages.base.model }}
      dataset: \${{ stages.loaded.dataset }}
      server: { model: m, url: "ftp://a.example/v1" }
  asked:
    uses: budget-forcing/openai-compatible
    with: { dataset: "\${{ stages.loaded.dataset }}", model: m, url: "ftp://a.example/v1" }
  task:
    uses: eval/task
    with: { task: aime24, data: "ftp://a.example/aime24.jsonl" }
  own-task:
    uses: eval/task
    with: { file: "ftp://a.example/task.yaml" }
`;

const folder = sharedFolder();

async function problemsOf(text: string): Promise<readonly Problem[]> {
  const file = join(folder, 'recipe.yaml');
  await writeFile(file, text);
  const catalog = new PluginCatalog({ baseFolder: folder });
  const settings = await loadSettings({ cwd: folder, env: {}, flags: {} });
  try {
    await planRecipe(await loadRecipe(file, { params: {}, overrides: {} }), catalog, settings);
    return [];
  } catch (error) {
    if (!isUserError(error)) throw error;
    return error.problems;
  }
}

it('is told of each URL with a scheme that nothing here fetches, once, and where it stands', async () => {
  const lines = recipe.split('\n');
  const wanted = lines.flatMap((line, index) =>
    [...line.matchAll(/"ftp:/g)].map(({ index: before }) => [index + 1, before + 1]),
  );
  const problems = await problemsOf(recipe);
  expect(problems.map(({ position }) => [position?.line, position?.column])).toEqual(wanted);
  for (const { message, path } of problems) {
    expect(message).toContain('ftp://a.example');
    expect(message).toMatch(/must be a path|is no URL that begins with http|is no source that is known/);
    expect(path).toMatch(/\.(path|url|source|tokenizer|data|file)$/);
  }
});

it('takes the same recipe with URLs that are supported', async () => {
  const supported = recipe
    .replaceAll('"ftp://a.example/v1"', '"http://localhost:8000/v1"')
    .replace('"ftp://a.example/pool.jsonl"', `"hf://datasets/owner/pool@${'0'.repeat(40)}/pool.jsonl"`)
    .replace('"ftp://a.example/model"', `"hf://owner/model@${'0'.repeat(40)}"`);
  const left = await problemsOf(supported);
  expect(left.map(({ path }) => path)).toEqual([
    'stages.random.with.source.random.tokenizer',
    'stages.task.with.data',
    'stages.own-task.with.file',
  ]);
});
