import { setImmediate as others } from 'node:timers/promises';
import { UserError } from '../errors.js';

interface TurnsOptions {
  readonly atATime: number;
  /** More are refused. */
  readonly mostWaiting: number;
  /** The code of that, and what those that wait are for: "30 WAIT_FOR already." */
  readonly refusal: { readonly code: string; readonly waitFor: string };
}

/** Has work that holds up a whole server done for a few at a time, first come, first served; all other calls come in between. */
export class Turns {
  readonly #options: TurnsOptions;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** @throws UserError with the code of the refusal, and as the work */
  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.#begin();
    try {
      await others();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #begin(): Promise<void> {
    const { atATime, mostWaiting, refusal } = this.#options;
    if (this.#running < atATime) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= mostWaiting) {
      throw new UserError(refusal.code, `${this.#waiting.length} ${refusal.waitFor} already.`, {
        kind: 'environment',
        hint: 'Try again in a moment.',
      });
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
