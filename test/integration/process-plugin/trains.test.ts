import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, definePlugin, type PluginDefinition } from 'simmerkit';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { estimatePlan } from '../../../core/engine/estimate-plan.js';
import { processIdentity } from '../../../core/process/process-identity.js';
import { fakeTrainerProgram } from '../../../core/testing/fake-trainer-plugin.js';
import { cacheFolder } from '../../python/check-python.js';
import { trainingStages } from '../training-stages.js';

const base = definePlugin({ name: 'base', version: '1.0.0', apiVersion, stages: { model: trainingStages(0).model } });

const recipe = `
name: trains
seed: 7
trainers: { student: { uses: fake-trainer/fake } }
stages:
  base: { uses: base/model }
  problems: { uses: curation/generate-problems, with: { count: 20 } }
  formatted:
    uses: curation/format
    with: { dataset: "\${{ stages.problems.dataset }}" }
    expect: { dataset: { rows: 20 } }
  tuned:
    uses: trains/fine-tune
    with: { trainer: student, model: "\${{ stages.base.model }}", dataset: "\${{ stages.formatted.dataset }}" }
`;

function harnessOf(
  plugins: readonly PluginDefinition[],
  resources: { readonly gpus?: number } = {},
): Promise<RunHarness> {
  const listedPlugins = [join(import.meta.dirname, 'trains')];
  return RunHarness.create({ plugins, listedPlugins, withBuiltIn: true, resources, cacheFolder });
}

it('a stage in Python trains with a trainer of the recipe, and has it written anew', async () => {
  await using harness = await harnessOf([fakeTrainerPlugin, base]);
  const run = await harness.run(recipe);
  expect(run.outcome).toMatchObject({ status: 'completed' });
  expect(run.eventsOf('step.logged').map(({ data, stage }) => [stage, data.step])).toEqual(
    [1, 2, 3, 4].map((step) => ['tuned', step]),
  );
  expect(run.eventsOf('metric.measured')).toMatchObject([{ data: { name: 'steps', value: 4 } }]);
  const [trained, exported] = [await run.artifact('tuned.trained'), await run.artifact('tuned.exported')];
  expect([trained.type, exported.type]).toEqual(['model', 'model']);
  expect(exported.files.map(({ path }) => path)).toContain('config.json');
  const inspected = JSON.parse(await readFile((await run.artifact('tuned.tokens')).path('report.json'), 'utf8'));
  const rows = await run.rows('formatted.dataset');
  const completions = inspected.map(({ tokens, trained }: { tokens: readonly string[]; trained: readonly boolean[] }) =>
    tokens.filter((_, index) => trained[index]).join(' '),
  );
  expect(completions).toEqual([rows[0], rows[2]].map((row) => String(row?.completion).split(/\s+/).join(' ')));
  const extended = await harness.run(
    recipe.replace('trainer: student,', 'trainer: student, extensions: { fused: true },'),
  );
  expect(extended.outcome).toMatchObject({
    status: 'failed',
    error: { message: expect.stringContaining('there are no extensions') },
  });
});

it('a trainer in Python is planned, estimated, prepared, launched and trained with', async () => {
  await using harness = await harnessOf([base]);
  const own = { node: process.execPath, program: fakeTrainerProgram() };
  const borrowed = recipe.replace(
    'fake-trainer/fake',
    `trains/borrowed, with: ${JSON.stringify(own)}, launcher: trains/here`,
  );
  const withExtensions = borrowed.replace('trainer: student,', 'trainer: student, extensions: { fussed: true },');
  await expect(harness.plan(withExtensions)).rejects.toMatchObject({
    problems: [{ path: 'stages.tuned.with.extensions.fussed', hint: 'Did you mean "fused"?' }],
  });
  const plan = await harness.plan(borrowed);
  expect(plan.trainers.student).toMatchObject({ relevantVersions: { program: 'main.js' }, resources: { cpus: 1 } });
  expect(plan.stages.find(({ name }) => name === 'tuned')?.resources).toMatchObject({ memoryBytes: 4 * 2 ** 20 });
  const store = await ArtifactStore.open(harness.home);
  const forecasts = await estimatePlan(plan, harness.catalog, store, harness.settings);
  // 20 rows, 4 steps.
  expect(forecasts.find(({ stage }) => stage === 'tuned')).toMatchObject({ seconds: 80, notes: ['1 node'] });
  const run = await harness.run(borrowed);
  expect(run.outcome).toMatchObject({ status: 'completed' });
  expect(run.eventsOf('step.logged')).toHaveLength(4);
  expect(run.eventsOf('log.written').map(({ data }) => data.message)).toEqual(
    expect.arrayContaining(['prepared main.js', 'starts main.js with 1 cores']),
  );
  const [started] = run.eventsOf('trainer.started');
  expect(await processIdentity(started!.data.pid)).toBeUndefined();
});

it('a launcher and a trainer in Python have a recipe refused that pays for GPUs which they do not use', async () => {
  await using harness = await harnessOf([base], { gpus: 4 });
  const own = { node: process.execPath, program: fakeTrainerProgram() };
  const holding = (gpus: number) =>
    recipe.replace(
      'fake-trainer/fake',
      `trains/borrowed, with: ${JSON.stringify(own)}, launcher: trains/here, resources: { gpus: ${gpus} }`,
    );
  await expect(harness.plan(holding(4))).rejects.toMatchObject({
    problems: [{ code: 'gpus_unused', message: expect.stringContaining('starts one process, which can use 2') }],
  });
  expect((await harness.plan(holding(2))).trainers.student?.resources).toMatchObject({ gpus: 2 });
});

it('a grader in Python says what grading will take', async () => {
  await using harness = await harnessOf([]);
  const plan = await harness.plan(`
name: graded
stages:
  problems: { uses: curation/generate-problems, with: { count: 20 } }
  graded:
    uses: curation/verify
    with: { dataset: "\${{ stages.problems.dataset }}", grader: { uses: trains/same, with: { usd: 0.5 } } }
`);
  const store = await ArtifactStore.open(harness.home);
  const forecasts = await estimatePlan(plan, harness.catalog, store, harness.settings);
  expect(forecasts[1]).toMatchObject({ stage: 'graded', seconds: 20, usd: 10 });
  const { definition } = await harness.catalog.grader('trains/same');
  expect(await definition.estimate?.(undefined, {})).toBeUndefined();
});
