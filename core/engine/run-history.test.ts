import { appendFile } from 'node:fs/promises';
import { expect, it, vi } from 'vitest';
import { acquireRunLock } from '../process/run-lock.js';
import { idleRuns } from './idle-runs.fixture.js';
import { eventsFile } from './run-folder.js';
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

const { newRun } = idleRuns();

it('a run that completed is told by the edges of its log, and no other one', async () => {
  const { runId, runFolder } = await newRun();
  const line = (sequence: number, type: string) =>
    `${JSON.stringify({ runId, sequence, time: `2026-01-01T00:00:0${sequence}.000Z`, type, data: {} })}\n`;
  await appendFile(eventsFile(runFolder), `not read\n${line(3, 'run.completed')}{"runId":"torn`);
  expect(await summarizeRun(runFolder)).toMatchObject({
    runId,
    recipe: 'r',
    status: 'completed',
    endedAt: '2026-01-01T00:00:03.000Z',
    lastEventAt: '2026-01-01T00:00:03.000Z',
    events: 3,
    stagesDone: 1,
    stagesTotal: 1,
  });
  await appendFile(eventsFile(runFolder), `\n${line(5, 'run.failed')}`);
  await expect(summarizeRun(runFolder)).rejects.toMatchObject({ code: 'log_damaged' });
});

it('a run is crashed only where nobody had it before its log was read, nor has it now', async () => {
  const { runFolder } = await newRun();
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
