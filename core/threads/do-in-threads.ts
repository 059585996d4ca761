import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { type ErrorRecord, UserError } from '../errors.js';
import { keepThreads, lendThread } from './kept-threads.js';

/** Says that so many more rows are done, of a task that goes on. */
export type TellRows = (count: number) => void;

/**
 * What a module for threads exports as `start`: made once a thread, then called with task after task. Each looks at the
 * signal now and then, behind something that it waits for.
 */
export type StartTasks<Settings, Task, Result> = (
  settings: Settings,
  tellRows: TellRows,
  signal: AbortSignal,
) => DoTask<Task, Result> | Promise<DoTask<Task, Result>>;

export type DoTask<Task, Result> = (task: Task) => Promise<Result>;

interface ThreadTasks<Settings, Task> {
  /** Exports `start`, a `StartTasks`. */
  readonly module: URL;
  /** Copied to each thread, as tasks are, and results back. */
  readonly settings: Settings;
  readonly tasks: AsyncIterable<Task> | Iterable<Task>;
  readonly onRows?: TellRows;
  /** So little that it is done before threads have started. */
  readonly isLittle?: boolean;
}

/** What a thread is told: what to do from now on, or with which task, or that nobody wants its tasks any more. */
export type Order =
  | { readonly giveUp: true }
  | { readonly module: string; readonly settings: unknown }
  | { readonly number: number; readonly task: unknown };

/** What comes back: rows of a task that goes on, or its end. */
export type Answer =
  | { readonly rows: number }
  | { readonly number: number; readonly result: unknown }
  | { readonly number: number; readonly error: ThrownRecord };

/** An error that was thrown in a thread, with what the system's errors say of themselves. */
type ThrownRecord = ErrorRecord & { readonly system: Pick<NodeJS.ErrnoException, 'code' | 'path' | 'syscall'> };

/**
 * Does tasks on all cores (8 at most), a few ahead of those whose results were taken.
 * @returns results in the order of the tasks, whatever the number of threads
 * @throws the error of the first task that failed, or the signal's reason
 */
export async function* doInThreads<Settings, Task, Result>(
  signal: AbortSignal,
  work: ThreadTasks<Settings, Task>,
): AsyncIterable<Result> {
  const { module, settings, tasks, onRows = () => {}, isLittle = false } = work;
  // Threads run what was built; tests of the sources do the same work here.
  if (isLittle || import.meta.url.endsWith('.ts')) {
    const { start } = (await import(module.href)) as { readonly start: StartTasks<Settings, Task, Result> };
    const act = await start(settings, onRows, signal);
    for await (const task of tasks) {
      signal.throwIfAborted();
      yield await act(task);
    }
    return;
  }
  await using threads = new TaskThreads({ module: module.href, settings }, signal, onRows);
  const underWay: Promise<Result>[] = [];
  for await (const task of tasks) {
    const done = threads.ask<Result>(task);
    // Whoever stops listening does not want its error.
    done.catch(() => {});
    underWay.push(done);
    if (underWay.length >= 2 * threads.count) yield await (underWay.shift() as Promise<Result>);
  }
  for (const done of underWay) yield await done;
}

interface Waiting {
  resolve(result: never): void;
  reject(error: unknown): void;
}

/** For a thread that was told to give up. One that is ended while DuckDB works in it ends this process with it. */
const giveUpMilliseconds = 10_000;

/** Threads for one work, lent by those that this process keeps. */
class TaskThreads implements AsyncDisposable {
  readonly count = Math.min(8, availableParallelism());
  readonly #order: Order;
  readonly #threads: Worker[] = [];
  /** Tasks that each thread has not done yet. Without those that failed themselves. */
  readonly #underWay = new Map<Worker, Set<number>>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #signal: AbortSignal;
  readonly #onRows: TellRows;
  readonly #onAbort = () => this.#fail(this.#signal.reason);
  #asked = 0;
  #onIdle: () => void = () => {};

  constructor(order: Order, signal: AbortSignal, onRows: TellRows) {
    this.#order = order;
    this.#onRows = onRows;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  ask<Result>(task: unknown): Promise<Result> {
    this.#signal.throwIfAborted();
    const number = this.#asked++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      const thread = this.#leastBusy();
      this.#underWay.get(thread)?.add(number);
      thread.postMessage({ number, task } satisfies Order);
    });
  }

  /** Another thread only where all are busy: each one loads what the work takes, such as a tokenizer. */
  #leastBusy(): Worker {
    const [[thread, tasks] = []] = [...this.#underWay].sort(([, one], [, other]) => one.size - other.size);
    const isEnough = tasks?.size === 0 || this.#threads.length >= this.count;
    return thread !== undefined && isEnough ? thread : this.#begin();
  }

  #begin(): Worker {
    const thread = lendThread();
    this.#threads.push(thread);
    this.#underWay.set(thread, new Set());
    thread.on('message', (answer: Answer) => this.#settle(thread, answer));
    thread.on('error', (error) => {
      this.#underWay.delete(thread);
      this.#fail(error);
      this.#onIdle();
    });
    thread.postMessage(this.#order);
    return thread;
  }

  /** Threads are kept for the next work, but for one that failed itself, or does not give up what it is at. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    for (const thread of this.#busy()) thread.postMessage({ giveUp: true } satisfies Order);
    await this.#idle();
    const busy = this.#busy();
    const done = [...this.#underWay.keys()].filter((thread) => !busy.includes(thread));
    // By name: without one, a thread loses what it hears itself by.
    for (const thread of this.#threads) thread.removeAllListeners('message').removeAllListeners('error');
    await Promise.all(busy.map((thread) => thread.terminate()));
    keepThreads(done);
  }

  #busy(): readonly Worker[] {
    return [...this.#underWay].flatMap(([thread, tasks]) => (tasks.size === 0 ? [] : [thread]));
  }

  /** Resolves when no thread is busy, or it took too long. */
  async #idle(): Promise<void> {
    if (this.#busy().length === 0) return;
    await new Promise<void>((resolve) => {
      const patience = setTimeout(resolve, giveUpMilliseconds);
      this.#onIdle = () => {
        if (this.#busy().length > 0) return;
        clearTimeout(patience);
        resolve();
      };
    });
  }

  #settle(thread: Worker, answer: Answer): void {
    if ('rows' in answer) {
      this.#onRows(answer.rows);
      return;
    }
    this.#underWay.get(thread)?.delete(answer.number);
    this.#onIdle();
    const waiting = this.#waiting.get(answer.number);
    this.#waiting.delete(answer.number);
    if ('result' in answer) waiting?.resolve(answer.result as never);
    else waiting?.reject(asError(answer.error));
  }

  #fail(error: unknown): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function asError({ system, ...record }: ThrownRecord): Error {
  if (record.kind !== undefined)
    return new UserError(record.code, record.message, record as { kind: typeof record.kind });
  return Object.assign(new Error(record.message), system, record.stack === undefined ? {} : { stack: record.stack });
}
