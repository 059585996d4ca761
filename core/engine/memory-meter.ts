import { residentMemoryBytes } from '../process/memory.js';

/**
 * The largest resident memory of some processes together while something runs, by looking twice a second: a short peak
 * between two looks is missed.
 */
export class MemoryMeter implements Disposable {
  readonly #processIds: () => readonly number[];
  readonly #timer: NodeJS.Timeout;
  #peak = 0;
  #looking: Promise<void> | undefined;

  /** @param processIds asked at each look; each counts with its descendants */
  constructor(processIds: () => readonly number[], everyMilliseconds = 500) {
    this.#processIds = processIds;
    this.#timer = setInterval(() => void this.#look(), everyMilliseconds);
    this.#timer.unref();
  }

  /** Looks once more and says the largest seen. */
  async peakBytes(): Promise<number> {
    await this.#look();
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): Promise<void> {
    this.#looking ??= residentMemoryBytes(this.#processIds())
      .then((bytes) => {
        this.#peak = Math.max(this.#peak, bytes);
      })
      // Processes come and go while they are looked at; the next look will do.
      .catch(() => undefined)
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }
}
