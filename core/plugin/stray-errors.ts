import { AsyncLocalStorage } from 'node:async_hooks';
import { deferred } from '../deferred.js';

/** Told of an error; false where it is too late to do anything with it. */
type Blame = (error: unknown) => boolean;

/** Does work of a plugin's: what anything that it began throws where nobody waits for it is told to its owner. */
export function blamingStrayErrors<T>(blame: Blame, work: () => T): T {
  return owners.run(blame, work);
}

const owners = new AsyncLocalStorage<Blame>();

/**
 * Runs a plugin's code. What it throws where nobody waits for it, in a timer or a promise that it forgot, fails it as well
 * as what it throws to its caller: without this it would end the process.
 */
export async function owningStrayErrors<T>(work: () => Promise<T>): Promise<T> {
  let isOver = false;
  const { promise: stray, reject: fail } = deferred<never>();
  // It may come when nobody waits any more.
  stray.catch(() => {});
  const blame: Blame = (error) => {
    if (isOver) return false;
    fail(error);
    return true;
  };
  try {
    return await owners.run(blame, () => Promise.race([work(), stray]));
  } finally {
    isOver = true;
  }
}

/**
 * For the process's handler of what nobody caught, which must call it at once. Whether the error came out of a plugin's
 * code: then its owner has failed with it, or is done and the error is told as a warning.
 */
export function blameOwner(error: unknown): boolean {
  const blame = owners.getStore();
  if (blame === undefined) return false;
  if (!blame(error)) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.emitWarning(`What a plugin left running threw when its work was over: ${reason}`);
  }
  return true;
}
