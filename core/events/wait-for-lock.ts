import { mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { isUserError } from '../errors.js';
import { acquireRunLock } from './run-lock.js';

const retryMilliseconds = 250;

/**
 * Waits until this process alone has a folder, which is made where it is not there. For work that several processes
 * would otherwise do twice; the kernel frees the folder when its holder dies, and disposal gives it back.
 *
 * @param onWait called once, where it has to wait; `why` says who holds it
 * @throws the signal's reason
 */
export async function waitForLock(
  folder: string,
  options: { readonly signal: AbortSignal; onWait(why: string): void },
): Promise<AsyncDisposable> {
  await mkdir(folder, { recursive: true });
  for (let hasWaited = false; ; hasWaited = true) {
    options.signal.throwIfAborted();
    try {
      return await acquireRunLock(folder);
    } catch (error) {
      if (!isUserError(error) || error.code !== 'run_locked') throw error;
      if (!hasWaited) options.onWait([error.message, error.hint].filter(Boolean).join(' '));
      await wait(retryMilliseconds, undefined, { signal: options.signal }).catch(() => options.signal.throwIfAborted());
    }
  }
}
