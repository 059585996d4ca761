import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ArtifactStore } from '../core/artifacts/artifact-store.js';
import { loadSettings } from '../core/config/settings.js';
import { estimatePlan, type StageForecast } from '../core/engine/estimate-plan.js';
import { scheduledStages } from '../core/engine/scheduled-stages.js';
import { PluginCatalog } from '../core/plugin/catalog.js';
import { loadRecipe } from '../core/recipe/load-recipe.js';
import type { Plan } from '../core/recipe/plan.js';
import { planRecipe } from '../core/recipe/plan-recipe.js';
import { temporaryFolder } from './temporary-folder.js';

const folder = fileURLToPath(new URL('../recipes', import.meta.url));
const recipes = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));

const catalog = new PluginCatalog({ baseFolder: folder });
const settings = await loadSettings({ cwd: folder, env: {}, flags: {} });

/** Plans a recipe as on a machine with no data folder and no network. */
async function planOf(
  name: string,
  params: Readonly<Record<string, string>> = {},
  overrides: Readonly<Record<string, string>> = {},
): Promise<Plan> {
  const recipe = await loadRecipe(join(folder, name), { params, overrides });
  return planRecipe(recipe, catalog, settings);
}

/** What its stages will take, where nothing is there yet. */
async function forecastsOf(plan: Plan): Promise<readonly StageForecast[]> {
  const home = await temporaryFolder();
  return await estimatePlan(plan, catalog, await ArtifactStore.open(home), settings);
}

/** Whose stages take GPUs or servers for hours. */
const large = ['s1.yaml', 's1-ablations.yaml', 'r1-distill.yaml'];

describe('each recipe that comes with Simmer', () => {
  test.each(recipes)('%s plans without data and network', async (name) => {
    const plan = await planOf(name);
    expect(plan.recipe).toBe(name.replace('.yaml', ''));
    expect(plan.stages.map((stage) => stage.uses)).toEqual(
      expect.arrayContaining(['torch-trainer/base-model', 'sft/train', 'budget-forcing/generate', 'eval/grade']),
    );
  });

  test('says of a maximum of no thinking what there is instead', async () => {
    await expect(planOf('tiny.yaml', { thinkingTokens: '[0, 16]' })).rejects.toMatchObject({
      problems: [
        {
          path: 'stages.untuned-answers.with.sweep.thinkingTokens[0]',
          hint: expect.stringContaining('1 ends thinking'),
        },
        {
          path: 'stages.tuned-answers.with.sweep.thinkingTokens[0]',
          hint: expect.stringContaining('`thinkingFormat: none`'),
        },
      ],
    });
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

test.each(large)(
  '%s says of each stage that trains or asks a model what it takes at most, and all of it fits',
  async (name) => {
    const plan = await planOf(name);
    const asking = plan.stages
      .filter(
        ({ options, uses }) =>
          options.trainer !== undefined ||
          options.server !== undefined ||
          options.url !== undefined ||
          uses === 'curation/difficulty',
      )
      .filter(({ uses }) => uses !== 'torch-trainer/base-model')
      .map((stage) => stage.name);
    const forecasts = await forecastsOf(plan);
    const told = forecasts.filter(({ usd }) => usd !== undefined).map(({ stage }) => stage);
    expect(told).toEqual(asking);
    expect(forecasts.filter(({ fits }) => fits === false)).toEqual([]);
  },
);

test.each(large)('%s fetches its model without the GPUs of its trainer', async (name) => {
  const plan = await planOf(name);
  const base = plan.stages.find(({ uses }) => uses === 'torch-trainer/base-model');
  expect(base).toMatchObject({ trainers: [] });
});

test('s1 can be finished within its own budget', async () => {
  const plan = await planOf('s1.yaml');
  const forecasts = await forecastsOf(plan);
  const usd = forecasts.reduce((sum, forecast) => sum + (forecast.usd ?? 0), 0);
  expect(usd).toBeLessThan(plan.budget!.usd!);
  expect(usd).toBeGreaterThan(0.8 * plan.budget!.usd!);
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

test('s1 declares its 16 sources, and draws domains as its paper or as its code', async () => {
  const selectionOf = async (params: Readonly<Record<string, string>>) =>
    (await planOf('s1.yaml', params)).stages.find((stage) => stage.name === 'selected')!.semanticOptions;
  const { stages } = await planOf('s1.yaml');
  const { sources } = stages.find((stage) => stage.name === 'pool')!.semanticOptions as {
    readonly sources: Readonly<Record<string, { readonly where: Readonly<Record<string, string>> }>>;
  };
  expect(Object.keys(sources)).toHaveLength(16);
  // Each source by the prefix that s1's data gives it: none is taken twice, none is left out.
  const given = [
    'AI-MO/NuminaMath-CoT/cn_k12',
    'qfq/openaimath/Algebra',
    'GAIR/OlympicArena/Math',
    'KbsdJames/Omni-MATH',
    'baber/agieval/sat_math',
    '0xharib/xword1',
    'Hothan/OlympiadBench/Open-ended/Math',
    'qq8933/AIME_1983_2024',
    'TIGER-Lab/TheoremQA/float',
    'codegenning/usacobench_formatted',
    'daman1209arora/jeebench/chem',
    'Idavidrein/gpqa',
    'OpenDFM/SciEval/biology/multiple-choice',
    'qfq/stats_qual',
    'livecodebench/code_generation_lite',
    'qfq/quant',
  ];
  const takers = given.map((type) =>
    Object.entries(sources).filter(([, { where }]) => new RegExp(where.source_type!, 'i').test(type)),
  );
  expect(takers.map((found) => found.length)).toEqual(given.map(() => 1));
  expect(new Set(takers.map(([found]) => found![0])).size).toBe(16);
  expect(await selectionOf({})).toMatchObject({ method: 's1', variant: 'paper', count: 1000, lengthColumn: 'tokens' });
  expect(await selectionOf({ selection: 'code' })).toMatchObject({ variant: 'code', later: { after: 700 } });
});

test('s1 keeps what neither model solves, has a model name domains, and preselects what is right, as its paper says', async () => {
  const { stages } = await planOf('s1.yaml');
  const stage = (name: string) => stages.find((one) => one.name === name)!;
  expect(stage('hard')).toMatchObject({
    uses: 'curation/difficulty',
    semanticOptions: {
      preset: 's1',
      attempts: 1,
      temperature: 0.05,
      goldColumn: 'gold',
      solvers: [{ model: 'Qwen/Qwen2.5-7B-Instruct' }, { model: 'Qwen/Qwen2.5-32B-Instruct' }],
    },
  });
  expect(stage('domains')).toMatchObject({ uses: 'curation/classify', semanticOptions: { taxonomy: 'msc' } });
  expect(stage('selected').semanticOptions).toMatchObject({
    domainColumn: 'domain',
    preselect: [
      { source: '^(GPQA|AIME)', equals: { right: true } },
      { source: '^MATH$', minLength: 5600 },
    ],
  });
  const text = await readFile(join(folder, 's1.yaml'), 'utf8');
  const counts = [...text.matchAll(/source_type: .*# ([\d,]+)$/gm)].map(([, count]) => Number(count!.replace(',', '')));
  expect(counts).toHaveLength(16);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(59_029);
});

describe('s1-ablations', () => {
  const arms = ['random', 'diverse', 'longest', 's1', 's1K', 'all'];

  test("trains the paper's five selections and its own by s1's method, all alike", async () => {
    const { stages } = await planOf('s1-ablations.yaml');
    const trained = stages.filter((stage) => stage.uses === 'sft/train');
    expect(trained.map((stage) => stage.name)).toEqual(arms.map((arm) => `${arm}-tuned`));
    expect(new Set(trained.map((stage) => JSON.stringify(stage.semanticOptions))).size).toBe(1);
    const s1 = (await planOf('s1.yaml')).stages.find((stage) => stage.name === 'tuned')!;
    expect({ ...trained[0]!.semanticOptions }).toEqual(s1.semanticOptions);
  });

  test('scores each on the three benchmarks of table 2', async () => {
    const { stages } = await planOf('s1-ablations.yaml');
    const graded = stages.filter((stage) => stage.uses === 'eval/grade').map((stage) => stage.name);
    const scored = ['aime24', 'math500', 'gpqa'].flatMap((task) => arms.map((arm) => `${arm}-${task}-graded`));
    expect([...graded].sort()).toEqual([...scored].sort());
  });

  test('finds again what s1.yaml curated', async () => {
    const selections = await Promise.all([planOf('s1.yaml'), planOf('s1-ablations.yaml')]);
    const ways = selections.map((plan, index) => wayTo(plan, ['selected', 's1'][index]!));
    expect(ways[0]).toEqual(ways[1]);
  });

  /** What the key of a stage covers, and of all that it takes. */
  function wayTo(plan: Plan, name: string): unknown {
    const { uses, semanticOptions, inputs } = plan.stages.find((stage) => stage.name === name)!;
    const taken = Object.entries(inputs).map(([input, from]) => [
      input,
      [from].flat().map(({ stage }) => wayTo(plan, stage)),
    ]);
    return { uses, semanticOptions, taken };
  }
});

test('curate-math attempts a sample that a parameter sets, and filters difficulty both ways', async () => {
  const plan = await planOf('curate-math.yaml', { difficultySample: '7473' });
  const options = (name: string) => plan.stages.find((stage) => stage.name === name)!.semanticOptions;
  expect(options('sample')).toMatchObject({ method: 'random', count: 7473 });
  expect(options('hard')).toMatchObject({ preset: 's1', unanswered: 'keep' });
  expect(options('in-reach')).toMatchObject({ preset: 'sometimes' });
  expect(options('selected')).toMatchObject({ count: 1000 });
});

describe('r1-distill', async () => {
  const text = await readFile(join(folder, 'r1-distill.yaml'), 'utf8');
  const sizes = [...text.matchAll(/^# +(-p student=.+)$/gm)].map(([, flags]) => flags!);
  const paramsOf = (flags: string) =>
    Object.fromEntries(
      flags
        .split('-p ')
        .slice(1)
        .map((pair) => pair.trim().split('=') as [string, string]),
    );

  test('names the six students of its paper by their size', () => {
    const named = sizes.map((flags) => paramsOf(flags).student);
    expect(named).toEqual(['1.5B', '7B', '8B', '14B', '32B', '70B']);
  });

  test.each(sizes)('fits its hardware with %s', async (flags) => {
    const params = paramsOf(flags);
    const plan = await planOf('r1-distill.yaml', params);
    const base = plan.stages.find((stage) => stage.name === 'base')!;
    expect(base.options.source).toMatch(new RegExp(`^hf://.*-${params.student}(-Instruct)?@`));
    expect(plan.stages.find((stage) => stage.name === 'formatted')!.semanticOptions).toMatchObject({ preset: 'r1' });
    const { gpus, nodes } = plan.trainers.student!.resources;
    expect(gpus! / nodes!).toBe(8);
    const forecasts = await forecastsOf(plan);
    const fitting = forecasts.flatMap(({ stage, fits }) => (fits === undefined ? [] : [[stage, fits]]));
    const answered = ['untuned-aime24', 'tuned-aime24', 'untuned-math500', 'tuned-math500'];
    const here = params.tunedServer === undefined ? ['tuned', ...answered] : ['tuned'];
    expect(Object.fromEntries(fitting)).toEqual(Object.fromEntries(here.map((stage) => [stage, true])));
  });

  test('is refused with GPUs that would be paid for and left idle', async () => {
    const unevenly = planOf('r1-distill.yaml', { gpus: '17', nodes: '2' });
    await expect(unevenly).rejects.toMatchObject({
      problems: [
        {
          code: 'gpus_unused',
          message: 'Trainer "student" holds 17 GPUs, and launchers/torchrun starts 16 processes, which can use 16.',
        },
      ],
    });
    const alone = planOf('r1-distill.yaml', {}, { 'trainers.student.launcher': 'launchers/local' });
    await expect(alone).rejects.toMatchObject({
      problems: [{ code: 'gpus_unused', hint: expect.stringContaining('launchers/torchrun') }],
    });
    const launcher = '{ uses: launchers/torchrun, with: { processesPerNode: 1 } }';
    const single = planOf('r1-distill.yaml', {}, { 'trainers.student.launcher': launcher });
    await expect(single).rejects.toMatchObject({
      problems: [{ code: 'gpus_unused', hint: expect.stringMatching(/^Set `gpus: 1`, or change how many processes/) }],
    });
    const one = planOf('r1-distill.yaml', { gpus: '1' }, { 'trainers.student.launcher': 'launchers/local' });
    expect((await one).trainers.student).toMatchObject({ resources: { gpus: 1 } });
  });

  test('claims no GPUs for what servers answer', async () => {
    const plan = await planOf('r1-distill.yaml', { student: '70B', untunedServer: 'llama', tunedServer: 'llama' });
    const claiming = scheduledStages(plan).filter(({ demand }) => demand.gpus > 0);
    expect(claiming.map(({ name }) => name)).toEqual(['tuned']);
  });

  test('does not fit 70B on one machine, nor its answers on one GPU', async () => {
    const forecasts = await forecastsOf(await planOf('r1-distill.yaml', { student: '70B' }));
    expect(forecasts.filter(({ fits }) => fits === false)).toHaveLength(5);
  });
});
