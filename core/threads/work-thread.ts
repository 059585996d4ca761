import { parentPort } from 'node:worker_threads';
import { readTable } from '../artifacts/table-file.js';
import { toErrorRecord } from '../errors.js';
import { batchesOf } from './row-batches.js';
import type { Answer, Order, Part, StartWork, ThreadSettings } from './work-in-threads.js';

/** One of the threads of `workInThreads`. */
interface Work {
  readonly settings: ThreadSettings;
  readonly run: Promise<ReturnType<StartWork<unknown, unknown>>>;
}

let work: Work | undefined;
let last = Promise.resolve();
parentPort?.on('message', (order: Order) => {
  if ('settings' in order) work = startWork(order.settings);
  else {
    const current = work as Work;
    last = last.then(async () => parentPort?.postMessage(await answer(current, order.part)));
  }
});

function startWork(settings: ThreadSettings): Work {
  const run = import(settings.module).then(({ start }: { readonly start: StartWork<unknown, unknown> }) =>
    start(settings.settings),
  );
  // Told to whoever asks for a part.
  run.catch(() => {});
  return { settings, run };
}

async function answer({ settings, run }: Work, part: Part): Promise<Answer> {
  const { location, columns, texts } = settings;
  const read = Object.fromEntries(columns.map((column) => [column, location.columns[column] ?? '']));
  try {
    const ask = await run;
    const results: unknown[] = [];
    for await (const rows of batchesOf(readTable(location.file, read, { positions: part, texts })))
      results.push(ask(rows));
    return { part, results };
  } catch (error) {
    return { part, error: toErrorRecord(error) };
  }
}
