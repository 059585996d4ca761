import { residentMemoryBytes } from '../process/memory.js';

const everyMilliseconds = 500;
/** Part of the time that may be spent looking: a look reads a file of every process of the machine. */
const lookingShare = 1 / 200;

/**
 * The largest resident memory of some processes together while something runs, by looking twice a second, or more seldom
 * where that would take more than its share of the time: a short peak between two looks is missed.
 */
export class MemoryMeter implements Disposable {
  readonly #processIds: () => readonly number[];
  #timer: NodeJS.Timeout | undefined;
  #peak = 0;
  #isDisposed = false;
  #looking: Promise<void> | undefined;

  /** @param processIds asked at each look; each counts with its descendants */
  constructor(processIds: () => readonly number[]) {
    this.#processIds = processIds;
    this.#lookAfter(everyMilliseconds);
  }

  /** Looks once more and says the largest seen. */
  async peakBytes(): Promise<number> {
    await this.#look();
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#isDisposed = true;
  }

  #lookAfter(milliseconds: number): void {
    if (this.#isDisposed) return;
    this.#timer = setTimeout(async () => {
      const startedAt = performance.now();
      await this.#look();
      this.#lookAfter(Math.max(everyMilliseconds, (performance.now() - startedAt) / lookingShare));
    }, milliseconds);
    this.#timer.unref();
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
