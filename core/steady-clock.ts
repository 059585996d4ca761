/** More than clocks are put right by, a little at a time. */
const jumpMilliseconds = 1000;

/**
 * The time of day, but for one thing: where the machine's clock is set back it goes on, since what takes time, and is
 * paid by the hour, does so all the same. A clock that jumps ahead is believed: the machine may have slept.
 */
export class SteadyClock {
  #day = Date.now();
  #passed = performance.now();
  #setBack = 0;

  /** Milliseconds since 1970. */
  now(): number {
    const day = Date.now();
    const passed = performance.now();
    const jump = day - this.#day - (passed - this.#passed);
    if (Math.abs(jump) > jumpMilliseconds) this.#setBack = Math.max(0, this.#setBack - jump);
    this.#day = day;
    this.#passed = passed;
    return day + this.#setBack;
  }
}
