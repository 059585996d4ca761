import type { Event } from '../../events/catalogue.js';

/** Events that may wait for the process; then the sink's own queue fills, which says what it drops. */
const waitingMost = 512;

/** Gives events on in batches: what comes while one is under way goes with the next. A failure is told once. */
export class EventBatches {
  readonly #deliver: (events: readonly Event[]) => Promise<void>;
  #waiting: Event[] = [];
  #pump: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isTold = false;

  constructor(deliver: (events: readonly Event[]) => Promise<void>) {
    this.#deliver = deliver;
  }

  /** Whether a delivery failed: there is nobody to talk with any more. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Waits only where too many wait already. @throws what an earlier delivery threw */
  async add(event: Event): Promise<void> {
    this.#tell();
    this.#waiting.push(event);
    this.#pump ??= this.#deliverAll();
    if (this.#waiting.length >= waitingMost) await this.delivered();
  }

  /** @throws what a delivery threw */
  async delivered(): Promise<void> {
    await this.#pump;
    this.#tell();
  }

  #tell(): void {
    if (this.#failure === undefined || this.#isTold) return;
    this.#isTold = true;
    throw this.#failure.error;
  }

  async #deliverAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.hasFailed) await this.#deliver(this.#waiting.splice(0));
    } catch (error) {
      this.#failure = { error };
    }
    this.#pump = undefined;
  }
}
