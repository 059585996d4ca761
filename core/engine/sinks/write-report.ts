import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { UserError } from '../../errors.js';
import { readEvents } from '../../events/replay.js';
import { writingTo } from '../../files/disk-error.js';
import type { Sink, SinkDefinition } from '../../plugin/definitions.js';
import { silentLog } from '../../plugin/log.js';
import { eventsFile } from '../run-folder.js';
import { openSink } from './open-sink.js';

/** The sink that writes `report.html`. */
export const reportSink = 'sinks/report';

/**
 * Feeds a run's log to the report sink and returns where the report is; also of a run that has not completed.
 * @throws UserError `no_report`, `no_disk_space` and the like
 */
export async function writeReport(
  runId: string,
  store: ArtifactStore,
  catalog: { sink(uses: string): Promise<{ readonly definition: SinkDefinition }> },
): Promise<string> {
  const runFolder = store.runFolder(runId);
  const { definition } = await catalog.sink(reportSink);
  const sink = await openSink(definition, {}, { runId, runFolder, log: silentLog, store });
  const reportPath = await writingTo(runFolder, () => told(sink, runFolder));
  if (reportPath !== undefined) return reportPath;
  throw new UserError('no_report', `The sink ${reportSink} wrote no report of the run ${runId}.`, {
    kind: 'runFailed',
  });
}

async function told(sink: Sink, runFolder: string): Promise<string | undefined> {
  try {
    for await (const event of readEvents(eventsFile(runFolder))) {
      // The report comes before the last event, as in a run that goes on.
      if (event.type !== 'run.completed') await sink.onEvent(event);
    }
    return (await sink.beforeCompleted?.())?.reportPath;
  } finally {
    await sink.close?.();
  }
}
