import { stat } from 'node:fs/promises';
import { eventsFile } from '../engine/run-folder.js';
import { completedRun, isHeld, isLogAbsent, type Planned, readPlanned, summaryOf } from '../engine/run-history.js';
import type { Summarize } from '../engine/run-manager.js';
import type { RunSummary } from '../engine/run-outcome.js';
import { foldRunState, initialRunState, type RunState } from '../engine/run-state.js';
import { LogScanner, type ReadBytes } from '../events/log-scanner.js';
import { openLog, reader } from '../events/replay.js';

interface Known {
  readonly scanner: LogScanner;
  state: RunState;
  read: ReadBytes;
  /** Callers take turns: the scanner is one. */
  reading: Promise<void>;
  planned?: Planned;
}

/**
 * Runs in one line each. Of one that has completed when it is first looked at, only the edges of its log are read; of any
 * other the log, once, and later what was added to it. A plan is read once.
 */
export class RunSummaries {
  readonly #known = new Map<string, Known>();
  readonly #completed = new Map<string, { readonly size: number; readonly summary: RunSummary }>();

  readonly summarize: Summarize = async (runFolder) => {
    const completed = await this.#completedRun(runFolder);
    if (completed !== undefined) return completed;
    const wasHeld = await isHeld(runFolder);
    const known = await this.#read(runFolder);
    if (known === undefined || known.state.runId === '') return undefined;
    known.planned ??= await readPlanned(runFolder);
    return summaryOf(known.state, runFolder, wasHeld, known.planned);
  };

  /** Of a run that was removed nothing is kept. */
  forget(runFolder: string): void {
    const file = eventsFile(runFolder);
    this.#known.delete(file);
    this.#completed.delete(file);
  }

  async #completedRun(runFolder: string): Promise<RunSummary | undefined> {
    const file = eventsFile(runFolder);
    if (this.#known.has(file)) return undefined;
    const { size } = (await stat(file).catch(() => undefined)) ?? {};
    const before = this.#completed.get(file);
    if (before !== undefined && before.size === size) return before.summary;
    const summary = await completedRun(runFolder);
    if (size === undefined || summary === undefined) this.#completed.delete(file);
    else this.#completed.set(file, { size, summary });
    return summary;
  }

  /** Undefined where there is no log. */
  async #read(runFolder: string): Promise<Known | undefined> {
    const file = eventsFile(runFolder);
    const known = this.#known.get(file) ?? newlyKnown(file);
    this.#known.set(file, known);
    let isThere = false;
    known.reading = known.reading
      .catch(() => undefined)
      .then(async () => {
        isThere = await readOn(file, known);
      });
    try {
      await known.reading;
    } catch (error) {
      // What was read may have been cut off since: the next call reads all of it again.
      this.#known.delete(file);
      throw error;
    }
    if (!isThere) this.#known.delete(file);
    return isThere ? known : undefined;
  }
}

function newlyKnown(file: string): Known {
  const known: Known = {
    scanner: new LogScanner(file, (buffer, position) => known.read(buffer, position), { isBrief: true }),
    state: initialRunState,
    read: async () => 0,
    reading: Promise.resolve(),
  };
  return known;
}

async function readOn(file: string, known: Known): Promise<boolean> {
  await using handle = await openLog(file).catch((error: unknown) => {
    if (isLogAbsent(error)) return undefined;
    throw error;
  });
  if (handle === undefined) return false;
  // A buffer to find nothing in is the most that it would cost, for each run of a home.
  if ((await handle.stat()).size <= known.scanner.offset) return true;
  known.read = reader(file, handle);
  for (let events = await known.scanner.advance(); events !== null; events = await known.scanner.advance()) {
    for (const event of events) known.state = foldRunState(known.state, event);
  }
  return true;
}
