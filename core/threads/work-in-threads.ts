import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import type { Row, TableArtifact, TableLocation } from '../artifacts/artifact.js';
import { type ErrorRecord, UserError } from '../errors.js';
import type { StageContext } from '../plugin/definitions.js';
import { pace } from '../plugin/pace.js';
import { keepThreads, lendThreads } from './kept-threads.js';
import { batchesOf } from './row-batches.js';

/**
 * What a module for threads exports as `start`: made once a thread, then called with batch after batch of rows, a few
 * hundred at a time. Settings and results are copied from thread to thread.
 */
export type StartWork<Settings, Result> = (settings: Settings) => (rows: readonly Row[]) => Result;

export interface ThreadedWork<Settings> {
  /** Exports `start`, a `StartWork`. */
  readonly module: URL;
  readonly settings: Settings;
  /** What it gets of the rows. */
  readonly columns: readonly string[];
  /** "utf8": columns of text come as their bytes (`Uint8Array`), which scan faster than strings. @default strings */
  readonly texts?: 'utf8';
  /** What progress counts, e.g. "rows". */
  readonly unit: string;
  /** Told beside how far it is. */
  readonly figures?: () => Readonly<Record<string, number>>;
}

/** What a thread works by. */
export interface ThreadSettings {
  readonly module: string;
  readonly settings: unknown;
  readonly location: TableLocation;
  readonly columns: readonly string[];
  readonly texts: 'utf8' | undefined;
}

/** Rows from one position to before another. */
export interface Part {
  readonly first: number;
  readonly end: number;
}

/** What a thread is told: what to do from now on, or with which part. */
export type Order = { readonly settings: ThreadSettings } | { readonly part: Part };

/** What comes back for a part. */
export type Answer = { readonly part: Part } & ({ readonly results: unknown[] } | { readonly error: ErrorRecord });

/** Fewer rows are done before threads have started. */
const fewRows = 2000;
/** As the row groups of the files, which are unpacked as a whole. */
const partRows = 8192;

type WorkContext = Pick<StageContext<unknown, Record<string, never>>, 'signal' | 'emit'>;

/**
 * Does something to all rows of a table, on all cores (8 at most), and says how far it is. Each thread reads its share by
 * itself, so that the event loop stays free.
 * @returns what was made of batches of rows, in their order, whatever the number of threads
 * @throws UserError of the work, or the signal's reason
 */
export async function* workInThreads<Settings, Result>(
  context: WorkContext,
  table: TableArtifact,
  work: ThreadedWork<Settings>,
): AsyncIterable<Result> {
  const steps = pace(context, { unit: work.unit, total: table.rowCount });
  for await (const { rows, results } of partsOf<Settings, Result>(context.signal, table, work)) {
    for (let row = 0; row < rows; row++) await steps.step(work.figures);
    yield* results;
  }
  await steps.finish(work.figures?.());
}

interface DonePart<Result> {
  readonly rows: number;
  readonly results: readonly Result[];
}

async function* partsOf<Settings, Result>(
  signal: AbortSignal,
  table: TableArtifact,
  work: ThreadedWork<Settings>,
): AsyncIterable<DonePart<Result>> {
  const { module, settings, columns, texts } = work;
  // Threads run what was built; tests of the sources do the same work here.
  if (table.location === undefined || table.rowCount < fewRows || import.meta.url.endsWith('.ts')) {
    const { start } = (await import(module.href)) as { readonly start: StartWork<Settings, Result> };
    const ask = start(settings);
    for await (const rows of batchesOf(table.rows({ columns }))) {
      yield { rows: rows.length, results: [ask(texts === 'utf8' ? rows.map(withBytes) : rows)] };
    }
    return;
  }
  await using threads = new WorkThreads(
    { module: module.href, settings, location: table.location, columns, texts },
    signal,
  );
  const underWay: Promise<DonePart<Result>>[] = [];
  for (let first = 0; first < table.rowCount; first += partRows) {
    const part = { first, end: Math.min(first + partRows, table.rowCount) };
    const done = threads.ask<Result>(part).then((results) => ({ rows: part.end - first, results }));
    // Whoever stops listening does not want its error.
    done.catch(() => {});
    underWay.push(done);
    if (underWay.length >= 2 * threads.count) yield await (underWay.shift() as Promise<DonePart<Result>>);
  }
  for (const part of underWay) yield await part;
}

function withBytes(row: Row): Row {
  const asBytes = (value: unknown) => (typeof value === 'string' ? Buffer.from(value) : value);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asBytes(value)]));
}

interface Waiting {
  resolve(results: never[]): void;
  reject(error: unknown): void;
}

/** Threads for one work over a table, lent by those that this process keeps. */
class WorkThreads implements AsyncDisposable {
  readonly count = Math.min(8, availableParallelism());
  readonly #threads: readonly Worker[];
  /** Parts that each thread has not done yet. */
  readonly #underWay = new Map<Worker, Set<number>>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.#fail(this.#signal.reason);

  constructor(settings: ThreadSettings, signal: AbortSignal) {
    this.#threads = lendThreads(this.count);
    for (const thread of this.#threads) {
      this.#underWay.set(thread, new Set());
      thread.on('message', (answer: Answer) => this.#settle(thread, answer));
      thread.on('error', (error) => this.#fail(error));
      thread.postMessage({ settings } satisfies Order);
    }
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  ask<Result>(part: Part): Promise<readonly Result[]> {
    this.#signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      this.#waiting.set(part.first, { resolve, reject });
      const [thread, parts] = [...this.#underWay].reduce((one, other) => (other[1].size < one[1].size ? other : one));
      parts.add(part.first);
      thread.postMessage({ part } satisfies Order);
    });
  }

  /** A thread that still works, or failed, is ended; the others are kept for the next work. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    const [done, busy] = [
      this.#threads.filter((thread) => this.#underWay.get(thread)?.size === 0),
      this.#threads.filter((thread) => this.#underWay.get(thread)?.size !== 0),
    ];
    // By name: without one, a thread loses what it hears itself by.
    for (const thread of this.#threads) thread.removeAllListeners('message').removeAllListeners('error');
    await Promise.all(busy.map((thread) => thread.terminate()));
    keepThreads(done);
  }

  #settle(thread: Worker, answer: Answer): void {
    this.#underWay.get(thread)?.delete(answer.part.first);
    const waiting = this.#waiting.get(answer.part.first);
    this.#waiting.delete(answer.part.first);
    if ('results' in answer) waiting?.resolve(answer.results as never[]);
    else waiting?.reject(asError(answer.error));
  }

  #fail(error: unknown): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function asError(record: ErrorRecord): Error {
  if (record.kind !== undefined)
    return new UserError(record.code, record.message, record as { kind: typeof record.kind });
  return Object.assign(new Error(record.message), record.stack === undefined ? {} : { stack: record.stack });
}
