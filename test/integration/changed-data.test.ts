import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, defineGrader, definePlugin, defineStage, filePath, graderChoice, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder.js';

const recipe = `
name: changed
seed: 1
stages:
  pool:
    uses: curation/load
    with: { sources: { mine: { path: pool.jsonl } } }
  sides:
    uses: curation/split
    with: { dataset: "\${{ stages.pool.dataset }}", heldout: 1 }
`;

it('data that is mended before a run goes on counts as what it is then, also for later runs', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  const broken = '{"question":"a"}\n{"question":';
  await writeFile(file, broken);
  const begun = await harness.plan(recipe);
  const failed = await harness.run(recipe);
  expect(failed.outcome).toMatchObject({ status: 'failed', error: { code: 'malformed_data' } });
  await writeFile(file, '{"question":"a"}\n');
  const short = await harness.resume(failed.runId);
  expect(short.outcome).toMatchObject({ status: 'failed', error: { code: 'too_few_rows' } });
  const said = short.eventsOf('log.written').map(({ data }) => data.message);
  const change = 'pool.jsonl has changed since the run began: what is left to do goes by what is there now.';
  expect(said.filter((message) => message === change)).toHaveLength(1);
  const kept = JSON.parse(await readFile(join(failed.runFolder, 'plan.json'), 'utf8'));
  expect(kept.stages).toEqual(JSON.parse(JSON.stringify((await harness.plan(recipe)).stages)));

  // What is done stays done, and is what this data is.
  await writeFile(file, '{"question":"a"}\n{"question":"b"}\n');
  using made = await harness.manager.holdMade(failed.runId, begun);
  expect([...made.stages]).toEqual(['pool']);
  const again = await harness.resume(failed.runId);
  expect(again.outcome).toMatchObject({ status: 'failed', error: { code: 'too_few_rows' } });
  await writeFile(file, broken);
  expect((await harness.run(recipe)).outcome).toMatchObject({ status: 'failed', error: { code: 'malformed_data' } });
  await writeFile(file, '{"question":"a"}\n');
  expect((await harness.run(recipe)).eventsOf('stage.reused').map(({ stage }) => stage)).toEqual(['pool']);
});

it('data that changes between a plan and its run is not kept as what was planned', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  await writeFile(file, '{"question":"a"}\n');
  const plan = await harness.plan(recipe);
  await writeFile(file, '{"question":"a"}\n{"question":"b"}\n');
  const failed = await harness.ended(await harness.manager.start(plan, { recipeText: recipe }));
  expect(failed.outcome).toMatchObject({
    status: 'failed',
    error: {
      code: 'file_changed',
      message: 'Stage "pool" (curation/load): pool.jsonl has changed since the stage was planned.',
    },
  });
  expect((await harness.resume(failed.runId)).outcome).toMatchObject({ status: 'completed' });
});

it('of a recipe that was changed a run that goes on says that it goes by the former one', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), '{"question":"a"}\n');
  const file = join(harness.recipeFolder, 'mine.yaml');
  await writeFile(file, recipe);
  const { runId } = await harness.run(recipe);
  const said = async () => {
    const { events } = await harness.resume(runId);
    const resumed = events.findLastIndex(({ type }) => type === 'run.started');
    return events.slice(resumed).flatMap(({ type, data }) => (type === 'log.written' ? [data.message] : []));
  };
  expect(await said()).toEqual([]);
  await writeFile(file, recipe.replace('heldout: 1', 'heldout: 2'));
  expect(await said()).toEqual([
    expect.stringContaining('is the recipe of this run any more; mine.yaml has its name.'),
  ]);
  // It was moved, or is that of another run.
  await writeFile(file, recipe.replace('name: changed', 'name: other'));
  expect(await said()).toEqual([]);
});

it('of a recipe whose folder was moved a run that goes on says what goes on from there', async () => {
  const home = join(await temporaryFolder(), 'home');
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true, home });
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), '{"question":"a"}\n');
  const { runId } = await harness.run(recipe);
  await rm(harness.recipeFolder, { recursive: true });
  const { eventsOf } = await harness.resume(runId);
  expect(eventsOf('log.written').map(({ data }) => data.message)).toContain(
    `The recipe's folder ${harness.recipeFolder} is gone, with all that the recipe names by its place in it. ` +
      'If it was moved, `simmer run` the recipe where it is now, which does nothing twice.',
  );
});

it('data of a stage that is done counts as what it is now where what the stage made is gone', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  const short = '{"question":"a"}\n';
  await writeFile(file, short);
  const failed = await harness.run(recipe);
  expect(failed.outcome).toMatchObject({ error: { code: 'too_few_rows' } });
  await rm(join(harness.home, 'artifacts'), { recursive: true });
  await writeFile(file, `${short}{"question":"b"}\n`);
  expect((await harness.resume(failed.runId)).outcome).toMatchObject({ status: 'completed' });
  await writeFile(file, short);
  expect((await harness.run(recipe)).outcome).toMatchObject({ error: { code: 'too_few_rows' } });
});

/** Somebody who writes into a file while a run goes on. */
const writing = definePlugin({
  name: 'writing',
  version: '1.0.0',
  apiVersion,
  hooks: {
    aroundStage: async ({ stage, options }, next) => {
      const { sources } = options as { readonly sources: { readonly mine: { readonly path: string } } };
      if (stage === 'late') await writeFile(sources.mine.path, '{"question":"new"}\n');
      return next();
    },
  },
});

it('what a stage made of data that was changed before it read it is reused by no other run', async () => {
  await using harness = await RunHarness.create({ plugins: [writing], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  const late = `name: late
stages: { late: { uses: curation/load, with: { sources: { mine: { path: ${file} } } } } }`;
  await writeFile(file, '{"question":"old"}\n');
  const run = await harness.run(late);
  expect(await run.rows('late.dataset')).toMatchObject([{ question: 'new' }]);
  expect(run.eventsOf('log.written').map(({ data }) => data.message)).toContainEqual(
    expect.stringContaining('pool.jsonl was changed while the run went on.'),
  );
  await writeFile(file, '{"question":"old"}\n');
  expect((await harness.run(late)).eventsOf('stage.reused')).toEqual([]);
  // The file is now as it was planned.
  await writeFile(file, '{"question":"new"}\n');
  await harness.run(late);
  expect((await harness.run(late)).eventsOf('stage.reused')).toHaveLength(1);
});

it('what a run itself writes beside the data of a folder is no change of it', async () => {
  const cacheFolder = await temporaryFolder();
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true, cacheFolder });
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), '{"question":"a"}\n');
  const beside =
    'name: beside\nstages: { pool: { uses: curation/load, with: { sources: { mine: { path: ., files: "*.jsonl" } } } } }';
  expect((await harness.run(beside)).outcome).toMatchObject({ status: 'completed' });
  expect((await harness.run(beside)).eventsOf('stage.reused')).toHaveLength(1);
});

it('of data that can no longer be read the stage tells', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  await writeFile(file, '{"question":');
  const failed = await harness.run(recipe);
  await rm(file);
  await symlink('pool.jsonl', file);
  const again = await harness.resume(failed.runId);
  expect(again.outcome.status).toBe('failed');
  expect(again.eventsOf('stage.failed').map(({ stage, attempt }) => [stage, attempt])).toEqual([
    ['pool', 1],
    ['pool', 2],
  ]);
});

/** A grader that goes by a file, and a stage that fails where it is not content. */
const listing = definePlugin({
  name: 'listing',
  version: '1.0.0',
  apiVersion,
  graders: {
    listed: defineGrader({
      description: 'Right is what a file lists.',
      options: z.strictObject({ file: filePath() }),
      async start({ file }, { recipeFolder }) {
        const right = await readFile(join(recipeFolder, file), 'utf8');
        return {
          grade: async (items) =>
            items.map(({ id, answer }) => ({
              id,
              verdict: right.includes(answer) ? 'right' : 'wrong',
              parsedAnswer: answer,
              parsedGold: right,
              explanation: '',
            })),
          async [Symbol.asyncDispose]() {},
        };
      },
    }),
  },
  stages: {
    ask: defineStage({
      description: 'Has one answer graded.',
      options: z.strictObject({ grader: graderChoice('listing/listed') }),
      inputs: {},
      outputs: { report: { type: 'report', description: 'The verdict.' } },
      async run(context) {
        const { uses, with: options } = context.options.grader;
        const [grade] = await (await context.grader(uses, options)).grade([{ id: '1', gold: '', answer: 'four' }]);
        if (grade?.verdict !== 'right') throw new Error('It is not listed.');
        return { report: await context.artifacts.writeReport({ verdict: grade.verdict }) };
      },
    }),
  },
});

it('a file of a grader counts as what it is when the run goes on, too', async () => {
  await using harness = await RunHarness.create({ plugins: [listing] });
  const file = join(harness.recipeFolder, 'right.txt');
  const asked = 'name: asked\nstages: { ask: { uses: listing/ask, with: { grader: { with: { file: right.txt } } } } }';
  await writeFile(file, 'three');
  const failed = await harness.run(asked);
  expect(failed.outcome.status).toBe('failed');
  await writeFile(file, 'four');
  expect((await harness.resume(failed.runId)).outcome).toMatchObject({ status: 'completed' });
  await writeFile(file, 'three');
  expect((await harness.run(asked)).outcome.status).toBe('failed');
});

it('a plan of a newer Simmer is told as such, however that makes its checksum', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), '{"question":"a"}\n');
  const failed = await harness.run(recipe);
  const file = join(failed.runFolder, 'plan.json');
  await writeFile(file, (await readFile(file, 'utf8')).replace('"format": 1', '"format": 2'));
  await expect(harness.resume(failed.runId)).rejects.toMatchObject({ code: 'newer_format' });
});

it.each([
  ['a reference', '"stage": "pool"', '"stage": "pgol"'],
  ['a seed', '"seed": 1', '"seed": 3'],
])('a plan of which %s is not what was written is not gone by', async (_, written, damaged) => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  await writeFile(join(harness.recipeFolder, 'pool.jsonl'), '{"question":"a"}\n');
  const failed = await harness.run(recipe);
  expect(failed.outcome).toMatchObject({ status: 'failed', error: { code: 'too_few_rows' } });
  const file = join(failed.runFolder, 'plan.json');
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll(written, damaged));
  await expect(harness.resume(failed.runId)).rejects.toMatchObject({ code: 'run_folder_damaged' });
});
