import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';
import { definePlugin, defineStage } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';

const nothing = defineStage({
  description: '',
  options: z.strictObject({}),
  inputs: {},
  outputs: {},
  run: async () => ({}),
});

/** Gives runs of a stage that does nothing, which nobody has begun, in one home for all tests of the file. */
export function idleRuns() {
  let harness: RunHarness;
  beforeAll(async () => {
    harness = await RunHarness.create({
      plugins: [definePlugin({ name: 'test', version: '1.0.0', apiVersion: 1, stages: { nothing } })],
    });
  });
  afterAll(() => harness[Symbol.asyncDispose]());
  return {
    get home() {
      return harness.home;
    },
    async newRun() {
      const recipe = JSON.stringify({ name: 'r', stages: { nothing: { uses: 'test/nothing' } } });
      return harness.manager.create(await harness.plan(recipe), { recipeText: recipe });
    },
  };
}
