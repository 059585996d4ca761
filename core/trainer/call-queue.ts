import { deferred } from '../deferred.js';

/** Runs calls one after the other, in the order in which they came. */
export class CallQueue {
  private tail: Promise<void> = Promise.resolve();

  /** Waits for one's turn; the function returned ends it. @throws the signal's reason where that comes first */
  async enter(signal: AbortSignal): Promise<() => void> {
    const before = this.tail;
    const { promise: turn, resolve: leave } = deferred<void>();
    this.tail = before.then(() => turn);
    try {
      await abortable(before, signal);
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  }

  async run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    const leave = await this.enter(signal);
    try {
      return await call();
    } finally {
      leave();
    }
  }
}

/** The promise, or the signal's reason where that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
