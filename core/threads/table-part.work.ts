import type { Row, TableLocation } from '../artifacts/artifact.js';
import { readTable } from '../artifacts/table-file.js';
import type { StartTasks } from './do-in-threads.js';
import { batchesOf } from './row-batches.js';

/**
 * What a module for threads exports as `start`: made once a thread, then called with batch after batch of rows, a few
 * hundred at a time. Settings and results are copied from thread to thread.
 */
export type StartWork<Settings, Result> = (settings: Settings) => (rows: readonly Row[]) => Result;

export interface TableSettings {
  /** URL of what exports `start`, a `StartWork`. */
  readonly module: string;
  readonly settings: unknown;
  readonly location: TableLocation;
  readonly columns: readonly string[];
  readonly texts: 'utf8' | undefined;
  readonly isUnbounded: boolean;
}

/** Rows from one position to before another. */
export interface TablePart {
  readonly first: number;
  readonly end: number;
}

/** Reads a part of a table, and has a work done to it. */
export const start: StartTasks<
  TableSettings,
  TablePart,
  { readonly rows: number; readonly results: unknown[] }
> = async ({ module, settings, location, columns, texts, isUnbounded }, _tellRows, signal) => {
  const work = (await import(module)) as { readonly start: StartWork<unknown, unknown> };
  const ask = work.start(settings);
  const read = Object.fromEntries(columns.map((column) => [column, location.columns[column] ?? '']));
  return async (part) => {
    const results: unknown[] = [];
    for await (const rows of batchesOf(readTable(location.file, read, { positions: part, texts, isUnbounded }))) {
      signal.throwIfAborted();
      results.push(ask(rows));
    }
    return { rows: part.end - part.first, results };
  };
};
