import { parentPort, workerData } from 'node:worker_threads';
import type { Answer, Question, StartWork } from './batch-threads.js';

/** One of the threads of `BatchThreads`. */
const { module, settings } = workerData as { readonly module: string; readonly settings: unknown };
const { start } = (await import(module)) as { readonly start: StartWork<unknown, unknown, unknown> };
const work = start(settings);

parentPort?.on('message', ({ number, batch }: Question<unknown>) => {
  parentPort?.postMessage(answer(number, batch));
});

function answer(number: number, batch: unknown): Answer<unknown> {
  try {
    return { number, result: work(batch) };
  } catch (error) {
    return { number, error };
  }
}
