import { join } from 'node:path';
import { createRunManager } from '../../container/create-run-manager.js';
import { readPlan } from '../../engine/run-folder.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { readEvents } from '../../events/replay.js';
import { driveRun } from '../drive-run.js';
import { writeLine } from '../terminal.js';
import { catalogOf, catalogOfPlan, settingsFrom, type WorkspaceFlags } from '../workspace.js';

/** `simmer resume`: goes on with a run from its last durable event. */
export async function resume(name: string, flags: WorkspaceFlags): Promise<number> {
  const settings = await settingsFrom(flags);
  const found = await (await createRunManager({ settings, catalog: catalogOf() })).find(name);
  if (found.status === 'completed') return tellCompleted(found, flags);
  const { runId, runFolder, events } = found;
  const catalog = catalogOfPlan(await readPlan(runFolder));
  const manager = await createRunManager({ settings, catalog });
  return driveRun({
    settings,
    catalog,
    stdout: flags.json ? 'events' : 'view',
    lastSequence: events,
    history: () => upTo(events, readEvents(join(runFolder, 'events.jsonl'))),
    start: (options) => manager.resume(runId, options),
  });
}

/** There is nothing to go on with; what came of the run is told again. */
async function tellCompleted({ runId, runFolder, events }: RunSummary, flags: WorkspaceFlags): Promise<number> {
  for await (const event of readEvents(join(runFolder, 'events.jsonl'), { fromSequence: events })) {
    if (event.type !== 'run.completed') continue;
    const { reportPath } = event.data;
    const report = reportPath === null ? '' : `\n  report  ${reportPath}`;
    await writeLine(flags.json ? JSON.stringify(event) : `${runId} is complete: there is nothing left to do.${report}`);
  }
  return exitCodes.ok;
}

async function* upTo(lastSequence: number, events: AsyncIterable<Event>): AsyncIterable<Event> {
  for await (const event of events) {
    if (event.sequence > lastSequence) return;
    yield event;
  }
}
