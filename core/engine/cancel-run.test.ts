import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { readEvents } from '../events/replay.js';
import { acquireRunLock } from '../process/run-lock.js';
import { appendEnding } from './append-ending.js';
import { cancelRun, cancelSignal, dropSignal } from './cancel-run.js';
import { idleRuns } from './idle-runs.fixture.js';
import { eventsFile } from './run-folder.js';

const runs = idleRuns();
afterEach(() => void vi.restoreAllMocks());

async function endings(runFolder: string): Promise<readonly string[]> {
  const types: string[] = [];
  for await (const { type } of readEvents(eventsFile(runFolder))) types.push(type);
  return types.slice(1);
}

it('a run is ended once, however many cancel it at once', async () => {
  const run = await runs.newRun();
  await Promise.all(Array.from({ length: 5 }, () => cancelRun(run, runs.home)));
  expect(await endings(run.runFolder)).toEqual(['run.interrupted']);
});

it('a run that ended meanwhile is left as it is, one of a queue is ended again', async () => {
  const { runId, runFolder } = await runs.newRun();
  const ending = { type: 'run.interrupted', data: { reason: 'a test' } } as const;
  await appendEnding(runId, runFolder, ending);
  await appendEnding(runId, runFolder, ending, { unlessEnded: true });
  expect(await endings(runFolder)).toEqual(['run.interrupted']);
  await appendEnding(runId, runFolder, ending);
  expect(await endings(runFolder)).toEqual(['run.interrupted', 'run.interrupted']);
});

it('a process that does not say that it listens is sent no signal, which would kill it', async () => {
  const run = await runs.newRun();
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  await using _lock = await acquireRunLock(run.runFolder);
  await expect(cancelRun(run, runs.home)).rejects.toMatchObject({ code: 'run_locked' });
  expect(kill).not.toHaveBeenCalled();
});

it('a process is told with a signal of its own to drop replies', async () => {
  const run = await runs.newRun();
  const lock = await acquireRunLock(run.runFolder, { cancelSignal });
  const kill = vi.spyOn(process, 'kill').mockImplementation((_, signal) => {
    if (signal === dropSignal) void lock[Symbol.asyncDispose]();
    return true;
  });
  await cancelRun(run, runs.home, true);
  expect(kill.mock.calls).toEqual([
    [process.pid, cancelSignal],
    [process.pid, dropSignal],
  ]);
});

it('a process that says that it listens is asked, and waited for', async () => {
  const run = await runs.newRun();
  const lock = await acquireRunLock(run.runFolder, { cancelSignal });
  let isFree = false;
  const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
    void lock[Symbol.asyncDispose]().then(() => {
      isFree = true;
    });
    return true;
  });
  await cancelRun(run, runs.home);
  expect(kill).toHaveBeenCalledExactlyOnceWith(process.pid, cancelSignal);
  expect(isFree).toBe(true);
});

it('a run of a server is one also where the machine was renamed while it was served', async () => {
  const run = await runs.newRun();
  const server = join(runs.home, 'server');
  await mkdir(server);
  await using _lock = await acquireRunLock(run.runFolder);
  await using lock = await acquireRunLock(server);
  await writeFile(join(server, 'owner.json'), JSON.stringify({ ...lock.owner, host: 'former' }));
  await expect(cancelRun(run, runs.home, true)).rejects.toMatchObject({
    code: 'run_of_server',
    hint: `Ask the server: simmer --server ADDRESS cancel ${run.runId} --now`,
  });
});
