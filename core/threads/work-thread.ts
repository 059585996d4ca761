import { parentPort, workerData } from 'node:worker_threads';
import { readTable } from '../artifacts/table-file.js';
import { toErrorRecord } from '../errors.js';
import { batchesOf } from './row-batches.js';
import type { Answer, Part, StartWork, ThreadSettings } from './work-in-threads.js';

/** One of the threads of `workInThreads`. */
const { module, settings, location, columns, texts } = workerData as ThreadSettings;
const started = import(module).then(({ start }: { readonly start: StartWork<unknown, unknown> }) => start(settings));
const read = Object.fromEntries(columns.map((column) => [column, location.columns[column] ?? '']));

let last = Promise.resolve();
parentPort?.on('message', (part: Part) => {
  last = last.then(async () => parentPort?.postMessage(await answer(part)));
});

async function answer(part: Part): Promise<Answer> {
  try {
    const work = await started;
    const results: unknown[] = [];
    for await (const rows of batchesOf(readTable(location.file, read, { positions: part, texts })))
      results.push(work(rows));
    return { part, results };
  } catch (error) {
    return { part, error: toErrorRecord(error) };
  }
}
