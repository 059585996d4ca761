import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { acquireRunLock } from '../events/run-lock.js';
import { definePlugin, defineStage } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';
import { summarizeRun } from './run-history.js';

/** What happens when a log was read, before anything else is looked at. */
let afterReading = async (): Promise<void> => {};
vi.mock(import('../events/replay.js'), async (original) => {
  const replay = await original();
  return {
    ...replay,
    async *readEvents(...given) {
      yield* replay.readEvents(...given);
      await afterReading();
    },
  };
});

const nothing = defineStage({
  description: '',
  options: z.strictObject({}),
  inputs: {},
  outputs: {},
  run: async () => ({}),
});

let harness: RunHarness;
beforeAll(async () => {
  harness = await RunHarness.create({
    plugins: [definePlugin({ name: 'test', version: '1.0.0', apiVersion: 1, stages: { nothing } })],
  });
});
afterAll(() => harness[Symbol.asyncDispose]());

it('a run is crashed only where nobody had it before its log was read, nor has it now', async () => {
  const recipe = JSON.stringify({ name: 'r', stages: { nothing: { uses: 'test/nothing' } } });
  const { runFolder } = await harness.manager.create(await harness.plan(recipe), { recipeText: recipe });
  const status = async () => (await summarizeRun(runFolder))?.status;
  expect(await status()).toBe('crashed');
  let lock = await acquireRunLock(runFolder);
  expect(await status()).toBe('running');
  // Its end is written, and then it is let go.
  afterReading = async () => lock[Symbol.asyncDispose]();
  expect(await status()).toBe('running');
  // It is taken up.
  afterReading = async () => {
    lock = await acquireRunLock(runFolder);
  };
  expect(await status()).toBe('running');
  await lock[Symbol.asyncDispose]();
});
