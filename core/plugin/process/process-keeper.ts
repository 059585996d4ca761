/**
 * Keeps processes of plugins as long as somebody has questions for them: a recipe is planned with one process a plugin,
 * however many of its stages are asked.
 */
export class ProcessKeeper {
  #holders = 0;
  readonly #kept = new Set<() => Promise<void>>();

  /** Processes stay until what is returned, and whatever else was, is disposed of. Disposed of once. */
  hold(): AsyncDisposable {
    this.#holders += 1;
    return {
      [Symbol.asyncDispose]: async () => {
        this.#holders -= 1;
        if (this.#holders > 0) return;
        const ends = [...this.#kept];
        this.#kept.clear();
        await Promise.all(ends.map((end) => end()));
      },
    };
  }

  /** Called by who holds. @param end of a process; called once, when nobody holds any more */
  keep(end: () => Promise<void>): void {
    this.#kept.add(end);
  }
}
