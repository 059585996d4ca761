import type { EventDraft } from '../events/catalogue.js';
import { EventBus } from '../events/event-bus.js';
import { RunLog } from '../events/run-log.js';
import { acquireRunLock } from '../process/run-lock.js';
import { eventsFile } from './run-folder.js';
import { readRunState } from './run-history.js';

/**
 * Ends a run that nobody has: it waited in the queue, could not be started, or its core was killed.
 *
 * @param unlessEnded leaves a run as it is that has an end by now; a resumed one in a queue has one from before
 * @throws UserError `run_locked`
 */
export async function appendEnding(
  runId: string,
  runFolder: string,
  ending: EventDraft<'run.interrupted' | 'run.failed'>,
  { unlessEnded = false } = {},
): Promise<void> {
  await using _lock = await acquireRunLock(runFolder);
  if (unlessEnded && (await readRunState(runFolder)).endedAt !== undefined) return;
  const { log, lastSequence } = await RunLog.open(eventsFile(runFolder));
  const bus = new EventBus({ runId, log, lastSequence });
  try {
    await bus.emit(ending);
  } finally {
    await bus.close();
  }
}
