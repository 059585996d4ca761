import { mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { isUserError, type UserError } from '../errors.js';
import { isSeenFromHere, isStopped, stoppedAdvice } from './process-identity.js';
import { acquireLock, readRunOwner } from './run-lock.js';

const retryMilliseconds = 250;

/**
 * Waits until this process alone has a folder, which is made where it is not there. For work that several processes
 * would otherwise do twice; the kernel frees the folder when its holder dies, and disposal gives it back.
 *
 * @param onWait called once, where it has to wait; `why` says who has it
 * @param runId the run that it is for; who waits is told
 * @throws the signal's reason; the disk's errors as they are
 */
export async function waitForLock(
  folder: string,
  options: { readonly signal: AbortSignal; readonly runId?: string; onWait(why: string): void },
): Promise<AsyncDisposable> {
  const { runId } = options;
  await mkdir(folder, { recursive: true });
  for (let hasWaited = false; ; hasWaited = true) {
    options.signal.throwIfAborted();
    try {
      return await acquireLock(folder, runId === undefined ? {} : { runId });
    } catch (error) {
      if (!isUserError(error) || error.code !== 'run_locked') throw error;
      if (!hasWaited) options.onWait(await whoHas(folder, error));
      await wait(retryMilliseconds, undefined, { signal: options.signal }).catch(() => options.signal.throwIfAborted());
    }
  }
}

/** Without the folder, whose name is mostly a digest. */
async function whoHas(folder: string, { hint = '' }: UserError): Promise<string> {
  const owner = await readRunOwner(folder);
  if (owner === undefined) return 'It is with another process.';
  const { runId, pid, host, startedAt } = owner;
  const process = `process ${pid} on ${host}, since ${startedAt}.`;
  const who = runId === undefined ? `It is with ${process}` : `It is with run ${runId}: ${process}`;
  if (!(await isSeenFromHere(owner))) return `${who} ${hint}`;
  if (await isStopped(pid)) return `${who} ${stoppedAdvice(pid)}`;
  return runId === undefined ? who : `${who} Follow it with: simmer watch ${runId}`;
}
