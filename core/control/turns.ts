import { setImmediate as others } from 'node:timers/promises';
import { UserError } from '../errors.js';

/** Has work that holds up a whole server done for a few at a time, first come, first served; all other calls come in between. */
export class Turns {
  readonly #atATime: number;
  readonly #mostWaiting: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(atATime: number, mostWaiting: number) {
    this.#atATime = atATime;
    this.#mostWaiting = mostWaiting;
  }

  /** @throws UserError `too_many_plans`, and as the work */
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
    if (this.#running < this.#atATime) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= this.#mostWaiting) {
      throw new UserError('too_many_plans', `${this.#waiting.length} recipes wait to be checked already.`, {
        kind: 'environment',
        hint: 'Try again in a moment.',
      });
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
