import { setMaxListeners } from 'node:events';

/** How long replies are waited for at most where a run ends early: service managers kill after ten. */
export const patienceMinutes = 8;

/** Requests under way that cost something, or may: what they are answered is paid for, also where the run ends early. */
export class PaidRequests {
  readonly #dropping = new AbortController();
  #underWay = 0;
  #patience: NodeJS.Timeout | undefined;

  constructor() {
    // Each request that is under way listens.
    setMaxListeners(0, this.#dropping.signal);
  }

  /** Aborted when no reply is waited for any more. */
  get dropped(): AbortSignal {
    return this.#dropping.signal;
  }

  begin(): void {
    this.#underWay++;
  }

  end(): void {
    this.#underWay--;
  }

  /** The run ends early: from here on replies are waited for as long as they may be. @returns how many those are */
  waitForLast(): number {
    this.#patience = setTimeout(() => this.drop(), 60_000 * patienceMinutes);
    this.#patience.unref();
    return this.#underWay;
  }

  /** Waits for no reply any more. May be called again. */
  drop(): void {
    clearTimeout(this.#patience);
    this.#dropping.abort(new Error('the run has ended'));
  }
}
