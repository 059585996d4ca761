import { appendFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { appendEnding } from '../engine/append-ending.js';
import { idleRuns } from '../engine/idle-runs.fixture.js';
import { eventsFile } from '../engine/run-folder.js';
import { RunSummaries } from './run-summaries.js';

const { newRun } = idleRuns();

it('a run of which nothing is new is told from what was read before', async () => {
  const { runFolder } = await newRun();
  const { summarize } = new RunSummaries();
  const first = await summarize(runFolder);
  expect(first).toMatchObject({ recipe: 'r', events: 1, stagesTotal: 1 });
  await rm(join(runFolder, 'plan.json'));
  const buffers = vi.spyOn(Buffer, 'allocUnsafe');
  expect(await summarize(runFolder)).toEqual(first);
  expect(buffers).not.toHaveBeenCalled();
});

it('a run that had completed is told from the edges of its log, again where that is another one', async () => {
  const { runId, runFolder } = await newRun();
  const log = eventsFile(runFolder);
  const completed = (sequence: number) =>
    `${JSON.stringify({ runId, sequence, time: '2026-01-01T00:00:00.000Z', type: 'run.completed', data: {} })}\n`;
  await appendFile(log, `not read\n${completed(3)}`);
  const { summarize } = new RunSummaries();
  const first = await summarize(runFolder);
  expect(first).toMatchObject({ status: 'completed', events: 3, stagesDone: 1 });
  expect(await summarize(runFolder)).toBe(first);
  await appendFile(log, completed(4));
  expect(await summarize(runFolder)).toMatchObject({ status: 'completed', events: 4 });
  await rm(log);
  expect(await summarize(runFolder)).toBeUndefined();
});

it('a run that went on is told with what is new, and a damaged line of it too', async () => {
  const { runId, runFolder } = await newRun();
  const { summarize } = new RunSummaries();
  expect(await summarize(runFolder)).toMatchObject({ status: 'crashed', events: 1 });
  await appendEnding(runId, runFolder, { type: 'run.interrupted', data: { reason: 'enough' } });
  const interrupted = await summarize(runFolder);
  expect(interrupted).toMatchObject({ status: 'interrupted', events: 2 });
  expect(interrupted?.lastEventAt).toBe(interrupted?.endedAt);
  await appendFile(eventsFile(runFolder), 'not an event\n');
  await expect(summarize(runFolder)).rejects.toMatchObject({ code: 'log_damaged' });
});

it('a run whose log cannot be opened is one all the same, and a folder without a log is none', async () => {
  const { runFolder } = await newRun();
  const { summarize } = new RunSummaries();
  const log = eventsFile(runFolder);
  await rename(log, `${log}.kept`);
  expect(await summarize(runFolder)).toBeUndefined();
  await symlink(log, log);
  await expect(summarize(runFolder)).rejects.toMatchObject({ code: 'log_missing' });
});
