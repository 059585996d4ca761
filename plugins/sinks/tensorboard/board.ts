import { join } from 'node:path';
import { EventFiles } from './event-files.js';
import type { RunSummary } from './run-summaries.js';

/** The folder of a run: event files of the run itself, and a folder of them for each of its stages that has any. */
export class Board implements AsyncDisposable {
  readonly #folder: string;
  readonly #files = new Map<string, EventFiles>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** In order, one call after the other. @throws what writing failed with, possibly that of an earlier call */
  async add(summaries: readonly RunSummary[]): Promise<void> {
    for (const summary of summaries) {
      const { run } = summary;
      const files = this.#files.get(run) ?? (await EventFiles.open(join(this.#folder, run)));
      this.#files.set(run, files);
      await files.add(summary);
    }
  }

  /** All that was added is with the operating system. @throws what writing it failed with */
  async flushed(): Promise<void> {
    for (const files of this.#files.values()) await files.flushed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#files.values()];
    const ends = await Promise.allSettled(files.map((each) => each[Symbol.asyncDispose]()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}
