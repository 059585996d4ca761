import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { definePlugin, defineStage, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { estimatePlan } from '../../../core/engine/estimate-plan.js';
import { cacheFolder } from '../../python/check-python.js';

/** Has two answers graded, and reports what was said of them. */
const asking = definePlugin({
  name: 'asking',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    ask: defineStage({
      description: 'Has answers graded.',
      options: z.strictObject({ with: z.record(z.string(), z.unknown()).default({}), stopAfter: z.int().optional() }),
      inputs: {},
      outputs: { grades: { type: 'dataset', description: 'One a row.' } },
      async run({ grader, options, artifacts }) {
        const items = ['4', '5'].map((answer) => ({ id: answer, gold: '4', answer }));
        const asked = await grader('referee/referee', options.with);
        const stop = options.stopAfter === undefined ? undefined : AbortSignal.timeout(options.stopAfter);
        const grades = await asked.grade(items, stop).catch((error) => {
          if (stop?.aborted) return [];
          throw error;
        });
        const rows = grades.map(({ verdict, explanation }) => ({ verdict, explanation }));
        const columns = { verdict: 'VARCHAR', explanation: 'VARCHAR' };
        return { grades: await artifacts.writeDataset(rows, { columns }) };
      },
    }),
    long: defineStage({
      description: 'Has more text graded at once than one message holds.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: 'How many grades there were.' } },
      async run({ grader, artifacts }) {
        const items = Array.from({ length: 1000 }, (_, id) => ({
          id: String(id),
          gold: '',
          answer: 'a'.repeat(70_000),
        }));
        const grades = await (await grader('referee/brevity')).grade(items);
        return { report: await artifacts.writeReport({ grades: grades.length }) };
      },
    }),
    open: defineStage({
      description: 'Has an answer graded that has no gold answer, where the grader says that it needs none.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: 'What was said.' } },
      async run({ grader, artifacts }) {
        const [brevity, referee] = [await grader('referee/brevity'), await grader('referee/referee')];
        const [grade] = await brevity.grade([{ id: 'a', gold: '', answer: 'Yes' }]);
        const needsGold = [brevity.needsGold, referee.needsGold];
        return { report: await artifacts.writeReport({ needsGold, verdict: grade?.verdict }) };
      },
    }),
  },
});

const harnessOf = () =>
  RunHarness.create({
    plugins: [asking],
    listedPlugins: [{ plugin: join(import.meta.dirname, 'referee') }],
    cacheFolder,
  });

const recipe = (given = '', budget = '') => `name: g\n${budget}\nstages: { graded: { uses: asking/ask${given} } }`;

it('a stage in Python has its options checked by their own model, estimates what a grader takes, and knows what was paid for', async () => {
  await using harness = await harnessOf();
  const store = await ArtifactStore.open(harness.home);
  const matches = (day: number) =>
    `name: g\nstages: { match: { uses: referee/match, with: { day: ${day}, grader: { with: { usd: 0.5 } } } } }`;
  const forecast = async (day: number) => {
    const plan = await harness.plan(matches(day));
    return (await estimatePlan(plan, harness.catalog, store, harness.settings))[0];
  };
  await expect(harness.plan(matches(400))).rejects.toMatchObject({
    problems: [{ path: 'stages.match.with.day', message: 'day does not fit: no year has so many days.' }],
  });
  expect(await forecast(1)).toMatchObject({ usd: 1.5, notes: ['None []'] });
  expect((await harness.run(matches(1))).outcome.status).toBe('completed');
  expect(await forecast(2)).toMatchObject({ usd: 1.5, notes: ["None ['1:0']"] });
});

it('a grader in Python logs, pays below the budget, and keeps what it was told for later runs', async () => {
  await using harness = await harnessOf();
  const first = await harness.run(recipe('', 'budget: { usd: 1 }'));
  expect(await first.rows('graded.grades')).toEqual([
    { verdict: 'right', explanation: 'Asked.' },
    { verdict: 'wrong', explanation: 'Asked.' },
  ]);
  expect(first.eventsOf('log.written').map(({ data }) => data.message)).toContain(
    `limited: True; recipe: ${basename(harness.recipeFolder)}`,
  );
  expect(first.eventsOf('stage.progressed')).toMatchObject([{ stage: 'graded', data: { done: 0, total: 2 } }]);
  const paid = first.eventsOf('budget.spent').filter(({ data }) => data.source === 'referee');
  expect(paid.reduce((sum, { data }) => sum + data.usd, 0)).toBe(0.5);

  const second = await harness.run(recipe(', seed: 9'));
  expect(await second.rows('graded.grades')).toEqual([
    { verdict: 'right', explanation: 'Remembered.' },
    { verdict: 'wrong', explanation: 'Remembered.' },
  ]);
  expect(second.eventsOf('budget.spent')).toEqual([]);
});

it('a grader in Python says whether it needs a gold answer', async () => {
  await using harness = await harnessOf();
  const run = await harness.run('name: g\nstages: { open: { uses: asking/open } }');
  const report = JSON.parse(await readFile((await run.artifact('open.report')).path('report.json'), 'utf8'));
  expect(report).toEqual({ needsGold: [false, true], verdict: 'right' });
});

it('a stage in Python has any number of long answers graded, by a grader that is a process as well', async () => {
  await using harness = await harnessOf();
  const run = await harness.run(
    'name: g\nstages: { long: { uses: referee/marathon, with: { grader: { uses: referee/brevity } } } }',
  );
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const report = JSON.parse(await readFile((await run.artifact('long.report')).path('report.json'), 'utf8'));
  expect(report).toEqual({ right: ['1001'] });
});

it('a grader in Python is asked in messages that hold the answers', async () => {
  await using harness = await harnessOf();
  const run = await harness.run('name: g\nstages: { long: { uses: asking/long } }');
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const report = JSON.parse(await readFile((await run.artifact('long.report')).path('report.json'), 'utf8'));
  expect(report).toEqual({ grades: 1000 });
});

it('a grader in Python that has no room below the budget ends the run with it', async () => {
  await using harness = await harnessOf();
  const { outcome } = await harness.run(recipe('', 'budget: { usd: 0.3 }'));
  expect(outcome).toMatchObject({ status: 'interrupted', error: { code: 'budget_reached' } });
});

it('what a grader in Python sets aside and never settles counts as the most that it could have cost', async () => {
  await using harness = await harnessOf();
  const run = await harness.run(recipe(', with: { with: { forgets: true } }', 'budget: { usd: 1 }'));
  expect(run.outcome.status).toBe('completed');
  expect(run.eventsOf('budget.spent').at(-1)?.data.total.usd).toBe(0.5);
});

it('a grader in Python hears that nobody waits for its grades any more', async () => {
  await using harness = await harnessOf();
  const run = await harness.run(recipe(', with: { stopAfter: 500, with: { slow: true } }'));
  expect(run.outcome.status).toBe('completed');
  expect(await run.rows('graded.grades')).toEqual([]);
  // It was not killed for it.
  expect(run.eventsOf('log.written').map(({ data }) => data.message)).toEqual([
    `limited: False; recipe: ${basename(harness.recipeFolder)}`,
  ]);
});
