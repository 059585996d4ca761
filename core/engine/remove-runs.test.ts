import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import { acquireRunLock } from '../events/run-lock.js';
import { definePlugin, defineStage } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';
import { removeRuns } from './remove-runs.js';
import { readRunState } from './run-history.js';

const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    say: defineStage({
      description: '',
      options: z.strictObject({ text: z.string() }),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      run: async ({ artifacts, options }) => ({ report: await artifacts.writeReport(options.text) }),
    }),
    fail: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: {},
      run: async () => {
        throw new Error('never done');
      },
    }),
  },
});

let harness: RunHarness;
let store: ArtifactStore;
beforeEach(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
  store = await ArtifactStore.open(harness.home);
});
afterEach(() => harness[Symbol.asyncDispose]());

/** Runs a recipe of stages that say something, and perhaps one that fails. @returns its id */
async function run(texts: readonly string[], fails = false): Promise<string> {
  const stages = Object.fromEntries(texts.map((text) => [text, { uses: 'test/say', with: { text } }]));
  const recipe = JSON.stringify({
    name: 'r',
    stages: { ...stages, ...(fails ? { fail: { uses: 'test/fail' } } : {}) },
  });
  const handle = await harness.manager.start(await harness.plan(recipe), { recipeText: recipe });
  expect((await handle.finished).status).toBe(fails ? 'failed' : 'completed');
  return handle.runId;
}

async function remove(runId: string, dryRun = false) {
  return removeRuns([await harness.manager.find(runId)], { store, all: await harness.manager.list(), dryRun });
}

async function outputsOf(runId: string): Promise<Readonly<Record<string, string>>> {
  const { stages } = await readRunState(store.runFolder(runId));
  return Object.fromEntries(Object.entries(stages).map(([name, { outputs }]) => [name, outputs.report ?? '']));
}

it('takes along what only the run has, and leaves what another one reused', async () => {
  const [first, second] = [await run(['own', 'shared']), await run(['shared', 'other'])];
  const { own, shared } = await outputsOf(first);
  const expected = { runs: [first], artifacts: [own], bytes: Buffer.byteLength('"own"\n') };
  expect(await remove(first, true)).toEqual(expected);
  expect(await store.has(own!)).toBe(true);

  expect(await remove(first)).toEqual(expected);
  expect(await store.has(own!)).toBe(false);
  await store.verify(shared!);
  expect((await harness.manager.list()).map(({ runId }) => runId)).toEqual([second]);

  // What is gone is made again, what is left is found.
  const third = await run(['own', 'shared']);
  const { stages } = await readRunState(store.runFolder(third));
  expect([stages.own?.status, stages.shared?.status]).toEqual(['completed', 'reused']);
});

it('takes along what an unfinished stage kept, unless another run may go on from it', async () => {
  const [first, second] = [await run([], true), await run([], true)];
  const { stages } = await readRunState(store.runFolder(first));
  const scratch = join(harness.home, 'scratch', stages.fail!.key);
  expect(existsSync(scratch)).toBe(true);
  await remove(first);
  expect(existsSync(scratch)).toBe(true);
  await remove(second);
  expect(existsSync(scratch)).toBe(false);
});

it('removes nothing while a run or a server may reuse it', async () => {
  const first = await run(['own']);
  const recipe = JSON.stringify({ name: 'r', stages: { say: { uses: 'test/say', with: { text: 'x' } } } });
  const other = await harness.manager.create(await harness.plan(recipe), { recipeText: recipe });
  const lock = await acquireRunLock(other.runFolder);
  await expect(remove(first)).rejects.toMatchObject({ code: 'runs_under_way', kind: 'environment' });
  await lock[Symbol.asyncDispose]();
  expect((await remove(first)).runs).toEqual([first]);
});
