import { join } from 'node:path';
import { waitForLock } from '../process/wait-for-lock.js';

/**
 * The right to work on a stage key in a home: two runs that come to the same stage at once would share its scratch
 * folder. The second waits, and then finds the first one's work in the cache.
 *
 * @param runId of who wants it @param onWait called once, where it has to wait; `why` says who has it
 * @throws the signal's reason
 */
export function acquireStageLock(
  home: string,
  key: string,
  options: { readonly signal: AbortSignal; readonly runId: string; onWait(why: string): void },
): Promise<AsyncDisposable> {
  return waitForLock(join(home, 'locks', key), options);
}
