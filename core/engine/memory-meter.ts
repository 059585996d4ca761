import { processMemories } from '../process/memory.js';

const everyMilliseconds = 500;
/** Part of the time that may be spent looking: a look reads a file of every process of the machine. */
const lookingShare = 1 / 200;

/**
 * The largest resident memory of some processes together while something runs, by looking twice a second, or more seldom
 * where that would take more than its share of the time. Of a short peak between two looks it knows what Linux tells: the
 * largest of one process, without the others.
 */
export class MemoryMeter implements Disposable {
  readonly #processIds: () => readonly number[];
  #timer: NodeJS.Timeout | undefined;
  #peak = 0;
  #isDisposed = false;
  #looking: Promise<void> | undefined;
  /** By process id, of those that were there at the first look: peaks from before it are none of this time. */
  #earlierPeaks: ReadonlyMap<number, number> | undefined;

  /** @param processIds asked at each look; each counts with its descendants */
  constructor(processIds: () => readonly number[]) {
    this.#processIds = processIds;
    this.#look();
    this.#lookAfter(everyMilliseconds);
  }

  /** Looks once more and says the largest seen. */
  async peakBytes(): Promise<number> {
    await this.#looking;
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
    this.#looking ??= processMemories(this.#processIds())
      .then((processes) => {
        const together = processes.reduce((sum, { residentBytes }) => sum + residentBytes, 0);
        this.#earlierPeaks ??= new Map(processes.map(({ pid, peakBytes }) => [pid, peakBytes]));
        const risen = processes.filter(({ pid, peakBytes }) => peakBytes > (this.#earlierPeaks?.get(pid) ?? 0));
        this.#peak = Math.max(this.#peak, together, ...risen.map(({ peakBytes }) => peakBytes));
      })
      // Processes come and go while they are looked at; the next look will do.
      .catch(() => undefined)
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }
}
