import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { deferred } from '../deferred.js';
import { readRunState } from '../engine/run-history.js';
import { definePlugin, defineStage } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';
import { tellSlowStop } from './run-news.js';

const { promise: released, resolve: release } = deferred<void>();
const deaf = defineStage({
  description: 'Heeds no signal.',
  options: z.strictObject({}),
  inputs: {},
  outputs: {},
  run: async () => {
    await released;
    return {};
  },
});

let harness: RunHarness;
beforeAll(async () => {
  harness = await RunHarness.create({
    plugins: [definePlugin({ name: 'test', version: '1.0.0', apiVersion: 1, stages: { deaf } })],
  });
});
afterAll(() => harness[Symbol.asyncDispose]());

it('the owner of a server is told which stage keeps a run from stopping, and nothing of one that stops', async () => {
  const recipe = JSON.stringify({ name: 'r', stages: { long: { uses: 'test/deaf' } } });
  const run = await harness.manager.start(await harness.plan(recipe), { recipeText: recipe });
  const { runId, runFolder } = run;
  await expect.poll(async () => (await readRunState(runFolder)).stages.long?.status).toBe('running');
  run.interrupt('enough');
  const gone = run.finished.then(() => undefined);
  const told: string[] = [];
  const log = (message: string) => told.push(message);
  await tellSlowStop({ runId, runFolder, gone }, log, 1);
  expect(told).toEqual([expect.stringMatching(new RegExp(`^${runId}: was told to stop .* kept from it by long`))]);
  const patient = tellSlowStop({ runId, runFolder, gone }, log, 600_000);
  release();
  await patient;
  expect(told.length).toBe(1);
});
