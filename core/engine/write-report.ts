import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { UserError } from '../errors.js';
import { readEvents } from '../events/replay.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { Log } from '../plugin/definitions.js';
import { openSink } from './open-sink.js';
import { eventsFile } from './run-folder.js';

/** The sink that writes `report.html`. */
export const reportSink = 'sinks/report';

const quiet: Log = { debug() {}, info() {}, warning() {}, error() {} };

/** Feeds a run's log to the report sink and returns where the report is; also of a run that has not completed. */
export async function writeReport(runId: string, store: ArtifactStore, catalog: PluginCatalog): Promise<string> {
  const runFolder = store.runFolder(runId);
  const { definition } = await catalog.sink(reportSink);
  const sink = await openSink(definition, {}, { runId, runFolder, log: quiet, store });
  try {
    for await (const event of readEvents(eventsFile(runFolder))) {
      // The report comes before the last event, as in a run that goes on.
      if (event.type !== 'run.completed') await sink.onEvent(event);
    }
    const { reportPath } = (await sink.beforeCompleted?.()) ?? {};
    if (reportPath !== undefined) return reportPath;
  } finally {
    await sink.close?.();
  }
  throw new UserError('no_report', `The sink ${reportSink} wrote no report of the run ${runId}.`, {
    kind: 'runFailed',
  });
}
