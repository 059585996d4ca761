import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** What a module for threads exports as `start`. Settings, batches and results are copied from thread to thread. */
export type StartWork<Settings, Batch, Result> = (settings: Settings) => (batch: Batch) => Result;

export interface BatchThreadsOptions<Settings> {
  /** Exports `start`, a `StartWork`. */
  readonly module: URL;
  readonly settings: Settings;
  /** 0: in this thread, as is best for little work. @default `defaultThreads` */
  readonly threads?: number;
}

/** More would only wait for the thread that reads. */
export const defaultThreads = Math.min(4, availableParallelism());

/** Below so many rows, threads take longer to start than they save. */
export const fewRows = 2000;

/** What goes to a thread, and comes back. */
export interface Question<Batch> {
  readonly number: number;
  readonly batch: Batch;
}
export type Answer<Result> =
  | { readonly number: number; readonly result: Result }
  | { readonly number: number; readonly error: unknown };

interface Waiting<Result> {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** Threads that all do the same to batch after batch. Results do not depend on how many there are. */
export class BatchThreads<Batch, Result> implements AsyncDisposable {
  readonly #workers: readonly Worker[];
  readonly #here: ((batch: Batch) => Result) | undefined;
  readonly #waiting = new Map<number, Waiting<Result>>();
  #asked = 0;

  private constructor(workers: readonly Worker[], here: ((batch: Batch) => Result) | undefined) {
    this.#workers = workers;
    this.#here = here;
    for (const worker of workers) {
      worker.on('message', (answer: Answer<Result>) => this.#settle(answer));
      worker.on('error', (error) => {
        for (const waiting of this.#waiting.values()) waiting.reject(error);
      });
    }
  }

  static async start<Settings, Batch, Result>(
    options: BatchThreadsOptions<Settings>,
  ): Promise<BatchThreads<Batch, Result>> {
    const { module, settings, threads = defaultThreads } = options;
    // Threads run what was built; tests of the sources do the same work here.
    if (threads === 0 || import.meta.url.endsWith('.ts')) {
      const { start } = (await import(module.href)) as { readonly start: StartWork<Settings, Batch, Result> };
      return new BatchThreads([], start(settings));
    }
    const entry = new URL('./batch-thread.js', import.meta.url);
    const workerData = { module: module.href, settings };
    return new BatchThreads(
      Array.from({ length: threads }, () => new Worker(entry, { workerData })),
      undefined,
    );
  }

  /** The results in the order of the batches. Few batches are under way at a time. */
  async *map(batches: AsyncIterable<Batch>): AsyncIterable<Result> {
    const underWay: Promise<Result>[] = [];
    for await (const batch of batches) {
      const result = this.#ask(batch);
      // Whoever stops listening does not want its error.
      result.catch(() => {});
      underWay.push(result);
      if (underWay.length > 2 * this.#workers.length) yield await (underWay.shift() as Promise<Result>);
    }
    for (const result of underWay) yield await result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #ask(batch: Batch): Promise<Result> {
    if (this.#here !== undefined) return this.#here(batch);
    const number = this.#asked++;
    const worker = this.#workers[number % this.#workers.length] as Worker;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      worker.postMessage({ number, batch } satisfies Question<Batch>);
    });
  }

  #settle(answer: Answer<Result>): void {
    const waiting = this.#waiting.get(answer.number);
    this.#waiting.delete(answer.number);
    if ('error' in answer) waiting?.reject(answer.error);
    else waiting?.resolve(answer.result);
  }
}
