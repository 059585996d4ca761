import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { estimatePlan } from '../../../core/engine/estimate-plan.js';
import { cacheFolder } from '../../python/check-python.js';

const folder = join(import.meta.dirname, '../../../docs/examples/difficulty');

/** The example's own recipe; the model is run by the trainer that has none. */
async function recipe(): Promise<string> {
  const written = parse(await readFile(join(folder, 'recipe.yaml'), 'utf8'));
  const { plugins: _, ...rest } = { ...written, trainers: { student: { uses: 'fake-trainer/fake' } } };
  return stringify(rest);
}

const options = () => ({
  plugins: [fakeTrainerPlugin],
  listedPlugins: [folder],
  withBuiltIn: true,
  cacheFolder,
});

it('a stage in Python has its options checked, and says what it will take', async () => {
  await using harness = await RunHarness.create(options());
  const wrong = (await recipe()).replace('max_tokens: 16', 'max_tokens: 16\n      at_least_right: 0.9');
  await expect(harness.plan(wrong)).rejects.toMatchObject({
    problems: [
      {
        code: 'nothing_kept',
        message: 'at_least_right is above at_most_right: nothing fits.',
      },
    ],
  });
  const store = await ArtifactStore.open(harness.home);
  const forecasts = await estimatePlan(await harness.plan(await recipe()), harness.catalog, store, harness.settings);
  expect(forecasts.find(({ stage }) => stage === 'hard-enough')).toEqual({
    stage: 'hard-enough',
    isDone: false,
    notes: ['its plugin does not say what it takes.'],
  });
});

it('a stage in Python asks a trainer and a grader of the recipe, and drops by what they say', async () => {
  await using harness = await RunHarness.create(options());
  const run = await harness.run(await recipe());
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const [funnel] = run.eventsOf('funnel.counted').filter(({ data }) => data.step === 'difficulty');
  const decisions = await run.rows('hard-enough.decisions');
  const kept = await run.rows('hard-enough.dataset');
  expect(decisions).toHaveLength(24);
  expect(kept.map(({ id }) => id)).toEqual(decisions.filter((row) => row.kept).map(({ id }) => id));
  expect(funnel?.data).toMatchObject({ rowsIn: 24, rowsOut: kept.length });
  expect(kept.every((row) => typeof row.right_share === 'number' && 'answer' in row)).toBe(true);
  expect(run.eventsOf('metric.measured')[0]?.data).toMatchObject({
    name: 'difficulty.right',
    count: 96,
    unit: 'share',
  });
  expect(run.eventsOf('stage.progressed').at(-1)?.data).toMatchObject({ done: 96, total: 96, unit: 'answers' });
  const again = await harness.run(await recipe());
  expect(again.eventsOf('stage.reused').map(({ stage }) => stage)).toContain('hard-enough');
});

it('a stage in Python loses no row of two that ask the same: it refuses them', async () => {
  await using harness = await RunHarness.create(options());
  const rows = ['4', 'four'].map((answer) => JSON.stringify({ question: 'What is 2 + 2?', answer }));
  await writeFile(join(harness.recipeFolder, 'twice.jsonl'), rows.join('\n'));
  const twice = parse(await recipe());
  twice.stages.problems = { uses: 'curation/load', with: { sources: { twice: { path: 'twice.jsonl' } } } };
  const { outcome } = await harness.run(stringify(twice));
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { code: 'invalid_problem', hint: 'Put curation/deduplicate before this stage.' },
  });
});
