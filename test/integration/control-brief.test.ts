import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { RemoteWorkspace } from '../../core/cli/remote-workspace.js';
import { eventsFile } from '../../core/engine/run-folder.js';
import type { Event } from '../../core/events/catalogue.js';
import { readEvents } from '../../core/events/replay.js';
import { formatEventLine } from '../../core/events/run-log.fixture.js';
import { WatchMode } from '../../core/generated/simmer/control/v1/control.js';
import { startServer } from './control-harness.js';

const runId = 'long-20260101-000000-abcd';
const steps = 5000;

/** Of a training that was killed after its only checkpoint, halfway. */
function killedTraining(): readonly Event[] {
  const events: Event[] = [];
  const add = (event: object) =>
    events.push({ runId, sequence: events.length + 1, time: '2026-01-01T00:00:00.000Z', ...event } as Event);
  add({ type: 'run.created', data: { format: 1, simmerVersion: '0.1.0', recipe: 'long', planDigest: '', seed: 0 } });
  add({ type: 'run.started', data: { pid: 1, host: 'elsewhere', resumed: false } });
  for (let step = 1; step <= steps; step++) {
    add({ type: 'step.logged', stage: 'tuned', attempt: 1, data: { step, totalSteps: steps, loss: 1 / step } });
    if (step === steps / 2) add({ type: 'checkpoint.saved', stage: 'tuned', attempt: 1, data: { step } });
  }
  return events;
}

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

it('what came of a run that has no end is asked of a server in brief: it sends no more than is read here, and says what it leaves out', async () => {
  const harness = await startServer();
  const runFolder = join(harness.folder, 'home', 'runs', runId);
  await mkdir(runFolder, { recursive: true });
  await writeFile(join(runFolder, 'plan.json'), JSON.stringify({ format: 1, recipe: 'long', stages: [] }));
  const events = killedTraining();
  await writeFile(eventsFile(runFolder), events.map((event) => `${formatEventLine(event)}\n`).join(''));

  const here = await all(readEvents(eventsFile(runFolder), { isBrief: true }));
  expect(here.length).toBeLessThan(10);
  await using workspace = await RemoteWorkspace.open(harness.server.address, {});
  const run = await workspace.find(runId);
  expect(run).toMatchObject({ status: 'crashed', events: events.length });
  expect(await all(workspace.briefHistory(run))).toEqual(here);

  const told: number[] = [];
  const gap = ({ firstSequence, lastSequence }: { readonly firstSequence: number; readonly lastSequence: number }) => {
    for (let sequence = firstSequence; sequence <= lastSequence; sequence++) told.push(sequence);
  };
  const options = { fromSequence: 2, mode: WatchMode.WATCH_MODE_BRIEF, onGap: gap };
  for await (const { sequence } of harness.client.watch(runId, options)) told.push(sequence);
  expect(told).toEqual(events.slice(1).map(({ sequence }) => sequence));
});
