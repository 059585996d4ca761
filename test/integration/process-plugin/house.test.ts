import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunHarness } from 'simmerkit/testing';
import { afterEach, expect, it } from 'vitest';
import { cacheFolder } from '../../python/check-python.js';
import { program } from './fixture-harness.js';

const recipe = (rows: number, usd = 0) =>
  `name: g\nstages: { greet: { uses: fixture/greet, with: { rows: ${rows}, usd: ${usd} } } }`;

async function harnessOf(): Promise<RunHarness & { readonly notes: string }> {
  const harness = await RunHarness.create({
    plugins: [],
    listedPlugins: [
      { command: [process.execPath, program, 'none'] },
      { plugin: join(import.meta.dirname, 'house'), secrets: ['HOUSE_NOTES'] },
    ],
    cacheFolder,
  });
  const notes = join(harness.home, 'notes.txt');
  process.env.HOUSE_NOTES = notes;
  return Object.assign(harness, { notes });
}

afterEach(() => {
  delete process.env.HOUSE_NOTES;
});

it('hooks in Python change a recipe, and object to its plan', async () => {
  await using harness = await harnessOf();
  expect((await harness.plan(recipe(1))).stages[0]?.options).toMatchObject({ rows: 2 });
  expect((await harness.plan(recipe(5))).stages[0]?.options).toMatchObject({ rows: 5 });
  await expect(harness.plan(recipe(500))).rejects.toMatchObject({
    problems: [{ code: 'plan_refused', message: 'greet is too loud. (from the plugin "house")', hint: 'Psst.' }],
  });
});

it('hooks in Python run around a stage, and get the events of its run', async () => {
  await using harness = await harnessOf();
  const run = await harness.run(recipe(3));
  expect(run.outcome.status).toBe('completed');
  const lines = run.eventsOf('log.written').map(({ data }) => data.message);
  expect(lines.filter((line) => line !== 'the door creaks')).toEqual([
    'opened for greet, fixture/greet',
    'secret is unknown',
    'closed',
  ]);
  expect(lines).toContain('the door creaks');
  const notes = (await readFile(harness.notes, 'utf8')).trim().split('\n');
  expect(notes).toEqual(run.events.map(({ sequence, type }) => `${sequence} ${type}`));
});

it.each([
  [0.7, { code: 'shut', hint: 'Come tomorrow.', message: expect.stringContaining('The house is shut.') }],
  [0.8, { code: 'hook_failed', message: expect.stringContaining('failed: ValueError: eight.') }],
])('a hook in Python that refuses %f dollars fails the stage by its name', async (usd, error) => {
  await using harness = await harnessOf();
  const { outcome } = await harness.run(recipe(3, usd));
  expect(outcome).toMatchObject({ status: 'failed', stage: 'greet', error });
  const { message = '' } = outcome.status === 'failed' ? outcome.error : {};
  expect(message).toContain('The hook aroundStage of the plugin "house" failed');
});
