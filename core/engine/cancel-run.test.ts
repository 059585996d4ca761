import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { readEvents } from '../events/replay.js';
import { acquireRunLock } from '../events/run-lock.js';
import { definePlugin, defineStage } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';
import { appendEnding } from './append-ending.js';
import { cancelRun, cancelSignal } from './cancel-run.js';
import { eventsFile } from './run-folder.js';

const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    nothing: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      run: async ({ artifacts }) => ({ report: await artifacts.writeReport({}) }),
    }),
  },
});

let harness: RunHarness;
beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
});
afterAll(() => harness[Symbol.asyncDispose]());
afterEach(() => void vi.restoreAllMocks());

/** A run without an end that nobody has. */
async function abandoned() {
  const recipe = JSON.stringify({ name: 'abandoned', stages: { nothing: { uses: 'test/nothing' } } });
  return harness.manager.create(await harness.plan(recipe), { recipeText: recipe });
}

async function endings(runFolder: string): Promise<readonly string[]> {
  const types: string[] = [];
  for await (const { type } of readEvents(eventsFile(runFolder))) types.push(type);
  return types.slice(1);
}

it('a run is ended once, however many cancel it at once', async () => {
  const run = await abandoned();
  await Promise.all(Array.from({ length: 5 }, () => cancelRun(run, harness.home)));
  expect(await endings(run.runFolder)).toEqual(['run.interrupted']);
});

it('a run that ended meanwhile is left as it is, one of a queue is ended again', async () => {
  const { runId, runFolder } = await abandoned();
  const ending = { type: 'run.interrupted', data: { reason: 'a test' } } as const;
  await appendEnding(runId, runFolder, ending);
  await appendEnding(runId, runFolder, ending, { unlessEnded: true });
  expect(await endings(runFolder)).toEqual(['run.interrupted']);
  await appendEnding(runId, runFolder, ending);
  expect(await endings(runFolder)).toEqual(['run.interrupted', 'run.interrupted']);
});

it('a process that does not say that it listens is sent no signal, which would kill it', async () => {
  const run = await abandoned();
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  await using _lock = await acquireRunLock(run.runFolder);
  await expect(cancelRun(run, harness.home)).rejects.toMatchObject({ code: 'run_locked' });
  expect(kill).not.toHaveBeenCalled();
});

it('a process that says that it listens is asked, and waited for', async () => {
  const run = await abandoned();
  const lock = await acquireRunLock(run.runFolder, { cancelSignal });
  let isFree = false;
  const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
    void lock[Symbol.asyncDispose]().then(() => {
      isFree = true;
    });
    return true;
  });
  await cancelRun(run, harness.home);
  expect(kill).toHaveBeenCalledExactlyOnceWith(process.pid, cancelSignal);
  expect(isFree).toBe(true);
});
