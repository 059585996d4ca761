import type { DurableWrites } from './durable-writes.js';
import { LogTail } from './log-tail.js';

/** The tails of the logs that somebody watches: one a log, closed when nobody watches it any more. */
export class LogTails {
  readonly #writes: DurableWrites;
  readonly #tails = new Map<string, { readonly tail: Promise<LogTail>; users: number }>();

  /** @param writes of the runs in this process */
  constructor(writes: DurableWrites) {
    this.#writes = writes;
  }

  /** Dispose of what it returns when done. @throws UserError `log_missing` */
  async use(file: string): Promise<AsyncDisposable & { readonly tail: LogTail }> {
    let entry = this.#tails.get(file);
    if (entry === undefined) {
      entry = { tail: LogTail.open(file, this.#writes), users: 0 };
      this.#tails.set(file, entry);
    }
    entry.users += 1;
    const used = entry;
    const leave = async () => {
      used.users -= 1;
      if (used.users > 0) return;
      if (this.#tails.get(file) === used) this.#tails.delete(file);
      await (await used.tail.catch(() => undefined))?.[Symbol.asyncDispose]();
    };
    try {
      return { tail: await used.tail, [Symbol.asyncDispose]: leave };
    } catch (error) {
      await leave();
      throw error;
    }
  }
}
