import type { EventDraft } from '../events/catalogue.js';
import { EventBus } from '../events/event-bus.js';
import { acquireRunLock } from '../events/run-lock.js';
import { RunLog } from '../events/run-log.js';
import { eventsFile } from './run-folder.js';

/** Ends a run that nobody has: it waited in the queue, or could not be started. @throws UserError `run_locked` */
export async function appendEnding(
  runId: string,
  runFolder: string,
  ending: EventDraft<'run.interrupted' | 'run.failed'>,
): Promise<void> {
  await using _lock = await acquireRunLock(runFolder);
  const { log, lastSequence } = await RunLog.open(eventsFile(runFolder));
  const bus = new EventBus({ runId, log, lastSequence });
  try {
    await bus.emit(ending);
  } finally {
    await bus.close();
  }
}
