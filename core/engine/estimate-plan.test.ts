// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are written like that
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import { builtInHardware } from '../config/hardware.js';
import type { Settings } from '../config/settings.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { defineGrader, definePlugin, defineStage, graderChoice } from '../plugin/define.js';
import { apiVersion } from '../plugin/definitions.js';
import type { PaidEstimate, StageEstimateContext } from '../plugin/estimate.js';
import { parseRecipe } from '../recipe/load-recipe.js';
import type { Plan } from '../recipe/plan.js';
import { planRecipe } from '../recipe/plan-recipe.js';
import { keptDigest, stageKey } from '../recipe/stage-key.js';
import { RunHarness } from '../testing/run-harness.js';
import { estimatePlan, type StageForecast } from './estimate-plan.js';

const kitchen = fileURLToPath(new URL('../../test/samples/kitchen/plugin.js', import.meta.url));
let folder: string;
let settings: Settings;
beforeEach(async () => {
  folder = await temporaryFolder();
  const resources = { cpus: 2, memoryBytes: 4e9, gpus: 0 };
  settings = { home: join(folder, 'home'), cacheFolder: folder, resources, hardware: builtInHardware, sources: {} };
});

async function planned(text: string): Promise<{ readonly plan: Plan; readonly catalog: PluginCatalog }> {
  const recipe = parseRecipe(join(folder, 'recipe.yaml'), text, { params: {}, overrides: {} });
  const { plugins: recipePlugins } = recipe;
  const catalog = new PluginCatalog({ recipePlugins, baseFolder: folder });
  return { plan: await planRecipe(recipe, catalog, settings), catalog };
}

async function forecastsOf(plan: Plan, catalog: PluginCatalog): Promise<Readonly<Record<string, StageForecast>>> {
  const forecasts = await estimatePlan(plan, catalog, await ArtifactStore.open(settings.home), settings);
  return Object.fromEntries(forecasts.map((forecast) => [forecast.stage, forecast]));
}

describe('a stage whose plugin says nothing of what it takes', () => {
  const bread = `
name: bread
plugins: [${kitchen}]
trainers: { oven: { uses: kitchen/oven, launcher: kitchen/hand } }
stages:
  pantry: { uses: kitchen/gather }
  loaf: { uses: kitchen/bake, with: { trainer: oven, dataset: "\${{ stages.pantry.dataset }}", minutes: 5 } }
`;
  const notes = ['its plugin does not say what it takes.'];

  it('is told where it uses a trainer, and taken for a small thing where it does not', async () => {
    const { plan, catalog } = await planned(bread);
    const { loaf, pantry } = await forecastsOf(plan, catalog);
    expect(loaf).toEqual({ stage: 'loaf', isDone: false, notes });
    expect(pantry).toEqual({ stage: 'pantry', isDone: false });
  });

  it('is told where an option names a server', async () => {
    const { plan, catalog } = await planned(bread);
    const serving = plan.stages.map((stage) => ({
      ...stage,
      trainers: [],
      options: { ...stage.options, extras: { url: 'http://localhost:8000/v1' } },
    }));
    expect((await forecastsOf({ ...plan, stages: serving }, catalog)).pantry).toMatchObject({ notes });
  });

  it('is told where its trainer cannot say what the work takes', async () => {
    const { plan, catalog } = await planned(`
name: bread
plugins: [${kitchen}]
trainers: { oven: { uses: kitchen/oven, launcher: kitchen/hand } }
stages:
  base: { uses: torch-trainer/base-model, with: { source: { random: { config: { model_type: llama } } }, trainer: oven } }
  problems: { uses: curation/generate-problems, with: { count: 10 } }
  rows: { uses: curation/format, with: { dataset: "\${{ stages.problems.dataset }}" } }
  tuned: { uses: sft/train, with: { trainer: oven, model: "\${{ stages.base.model }}", dataset: "\${{ stages.rows.dataset }}" } }
`);
    expect((await forecastsOf(plan, catalog)).tuned).toMatchObject({ notes });
  });
});

it('adds what a judge costs to a stage that grades, by the rows that are known', async () => {
  const earlier = 'What the judge told earlier runs of the same answers is not paid for again.';
  const judge = (price: string) => `
name: judged
stages:
  pool: { uses: curation/generate-problems, with: { count: 100 } }
  right:
    uses: curation/verify
    with:
      dataset: \${{ stages.pool.dataset }}
      grader: { uses: eval/judge, with: { url: "http://localhost/v1", model: judge, attempts: 2, maxTokens: 1000${price} } }
`;
  const { plan, catalog } = await planned(judge(', price: { inputPerMillion: 1, outputPerMillion: 10 }'));
  const { right } = await forecastsOf(plan, catalog);
  // 200 questions of 512 and 1,000 tokens at most.
  expect(right).toMatchObject({ isAtMost: true, figures: { requests: 200 } });
  expect(right?.usd).toBeCloseTo((200 * (512 + 10 * 1000)) / 1e6);
  expect(right?.notes).not.toContain(earlier);
  const store = await ArtifactStore.open(settings.home);
  await store.keptFolder(keptDigest({ uses: 'eval/judge', seed: plan.seed }, { model: 'judge' }), 'an-earlier-run');
  expect((await forecastsOf(plan, catalog)).right?.notes).toContain(earlier);
  const free = await planned(judge(''));
  expect((await forecastsOf(free.plan, free.catalog)).right?.usd).toBeUndefined();
});

it('passes on how many rows there may be, and takes what a recipe expects for more than that', async () => {
  const { plan, catalog } = await planned(`
name: rows
trainers: { gpu: { uses: torch-trainer/torch, resources: { gpus: 1, hardware: h100-sxm } } }
stages:
  base: { uses: torch-trainer/base-model, with: { source: "hf://Qwen/Qwen2.5-0.5B@${'a'.repeat(40)}" } }
  pool: { uses: curation/generate-problems, with: { count: 100 } }
  unique: { uses: curation/deduplicate, with: { dataset: "\${{ stages.pool.dataset }}" } }
  text: { uses: curation/format, expect: { dataset: { tokensPerRow: 100 } }, with: { dataset: "\${{ stages.unique.dataset }}" } }
  tuned: { uses: sft/train, with: { trainer: gpu, model: "\${{ stages.base.model }}", dataset: "\${{ stages.text.dataset }}", epochs: 1, globalBatchSize: 10 } }
  expected: { uses: curation/format, expect: { dataset: { rows: 50, tokensPerRow: 100 } }, with: { dataset: "\${{ stages.unique.dataset }}" } }
  other: { uses: sft/train, with: { trainer: gpu, model: "\${{ stages.base.model }}", dataset: "\${{ stages.expected.dataset }}", epochs: 1, globalBatchSize: 10 } }
`);
  const { tuned, other } = await forecastsOf(plan, catalog);
  expect(tuned).toMatchObject({ isAtMost: true, figures: { steps: 10 } });
  expect(other).toMatchObject({ figures: { steps: 5 } });
  expect(other?.isAtMost).toBeUndefined();
});

it('reads the sizes of a model that is there', async () => {
  const { plan, catalog } = await planned(`
name: there
trainers: { gpu: { uses: torch-trainer/torch, resources: { gpus: 1, hardware: h100-sxm } } }
stages:
  base: { uses: torch-trainer/base-model, with: { source: "hf://somebody/something@${'a'.repeat(40)}" } }
  pool: { uses: curation/generate-problems, with: { count: 100 } }
  answers: { uses: budget-forcing/generate, with: { trainer: gpu, model: "\${{ stages.base.model }}", dataset: "\${{ stages.pool.dataset }}" } }
  served: { uses: budget-forcing/generate, with: { server: { url: "http://localhost/v1", model: m, price: { inputPerMillion: 1, outputPerMillion: 1 } }, model: "\${{ stages.base.model }}", dataset: "\${{ stages.pool.dataset }}" } }
`);
  expect((await forecastsOf(plan, catalog)).answers?.notes).toEqual([
    'The sizes of the model are not known before it is there.',
  ]);
  const store = await ArtifactStore.open(settings.home);
  const source = join(folder, 'model');
  await mkdir(source);
  const [hidden_size, num_hidden_layers, vocab_size] = [64, 2, 259];
  const config = { hidden_size, num_hidden_layers, intermediate_size: 128, vocab_size, num_attention_heads: 4 };
  await writeFile(join(source, 'config.json'), JSON.stringify(config));
  await using writer = store.writer();
  const { uri } = await writer.commitModel(source, {});
  const base = plan.stages.find(({ name }) => name === 'base')!;
  const key = stageKey(base, plan, {});
  const made = { format: 1, key, uses: base.uses, outputs: { model: uri }, runId: 'r', seconds: 1, facts: [] } as const;
  await store.stages.record(key, { ...made, createdAt: '2026-01-01T00:00:00.000Z' });
  // What its server answered for the weights that are there.
  const served = plan.stages.find(({ name }) => name === 'served')!;
  const kept: object[] = [];
  const { definition } = await catalog.stage(served.uses);
  await definition.estimate?.(served.options, {
    inputs: { model: { uri } },
    kept: async (of: object) => {
      kept.push(of);
      return { others: [] };
    },
  } as unknown as StageEstimateContext);
  await store.keptFolder(keptDigest(served, kept[0]!), 'an-earlier-run');
  const forecasts = await forecastsOf(plan, catalog);
  expect(forecasts.served?.notes).toContain('Samples that earlier runs were paid for are not asked for again.');
  expect(forecasts.base?.isDone).toBe(true);
  expect(forecasts.answers?.fits).toBe(true);
});

describe('a grader that takes its time to say what it takes', () => {
  const slow = (said: PaidEstimate | undefined) =>
    definePlugin({
      name: 'slow',
      version: '1.0.0',
      apiVersion,
      stages: {
        ask: defineStage({
          description: 'Has answers graded.',
          options: z.strictObject({ grader: graderChoice('slow/judge') }),
          inputs: {},
          outputs: {},
          estimate: async ({ grader }, context) => context.grader(grader, 10),
          run: async () => ({}),
        }),
      },
      graders: {
        judge: defineGrader({
          description: 'Asks a server.',
          options: z.strictObject({ url: z.string().default('http://localhost/v1') }),
          estimate: async () => said,
          start: () => Promise.reject(new Error('It never starts.')),
        }),
      },
    });

  it.each<readonly [PaidEstimate | undefined, PaidEstimate]>([
    [{ seconds: 3, usd: 2 }, { usd: 2 }],
    [undefined, { notes: ['its plugin does not say what it takes.'] }],
  ])('is waited for: %j', async (said, told) => {
    await using harness = await RunHarness.create({ plugins: [slow(said)] });
    const plan = await harness.plan('name: slow\nstages: { ask: { uses: slow/ask } }');
    expect((await forecastsOf(plan, harness.catalog)).ask).toMatchObject(told);
  });
});

it.each([
  [
    'throws',
    () => {
      throw new Error('no such price');
    },
    'careless/work failed while it was estimated: no such price',
  ],
  ['gives no number', () => ({ usd: Number.NaN }), 'What `estimate` of careless/work returned does not fit: usd: '],
])('a plan names the stage whose estimate %s', async (_, estimate, message) => {
  const work = defineStage({
    description: 'For this test.',
    options: z.object({}),
    inputs: {},
    outputs: {},
    estimate,
    run: async () => ({}),
  });
  const careless = definePlugin({ name: 'careless', version: '1.0.0', apiVersion, stages: { work } });
  await using harness = await RunHarness.create({ plugins: [careless] });
  const plan = await harness.plan('name: trial\nstages: { s: { uses: careless/work } }');
  const store = await ArtifactStore.open(harness.home);
  await expect(estimatePlan(plan, harness.catalog, store, harness.settings)).rejects.toMatchObject({
    code: 'plugin_failed',
    message: expect.stringContaining(message),
  });
});
