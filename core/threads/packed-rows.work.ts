import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Columns, MadeRows, Row, StartRows } from '../artifacts/artifact.js';
import { withScratch } from '../artifacts/duckdb-tables.js';
import { packRows } from '../artifacts/table-file.js';
import type { StartTasks, TellRows } from './do-in-threads.js';

export interface PackSettings {
  /** URL of what exports `start`, a `StartRows`. */
  readonly module: string;
  readonly settings: unknown;
  readonly columns: Columns;
  /** Where the files come. */
  readonly folder: string;
}

export interface PackTask {
  readonly number: number;
  readonly task: unknown;
}

export interface PackedTask {
  /** Parquet files of a row group each, one behind the other. */
  readonly files: readonly string[];
  readonly rowCount: number;
  readonly told: unknown;
}

/** Says how far it is every so many rows. */
const toldRows = 200;

/** Makes the rows of a task, and packs them. */
export const start: StartTasks<PackSettings, PackTask, PackedTask> = async (
  { module, settings, columns, folder },
  tellRows,
  signal,
) => {
  const { start } = (await import(module)) as { readonly start: StartRows<unknown, unknown, unknown> };
  const make = start(settings);
  return async ({ number, task }) => {
    const { rows, told } = make(task);
    const files: string[] = [];
    let rowCount = 0;
    await withScratch(join(folder, `${number}.spill`), async (instance) => {
      const counted = telling(rows, tellRows, signal);
      for await (const part of packRows(instance, counted, { columns, folder, name: String(number) })) {
        files.push(part.file);
        rowCount += part.rowCount;
      }
    });
    return { files, rowCount, told: told() };
  };
};

async function* telling(rows: MadeRows<unknown>['rows'], tellRows: TellRows, signal: AbortSignal): AsyncIterable<Row> {
  let count = 0;
  for await (const row of rows) {
    signal.throwIfAborted();
    yield row;
    if (++count % toldRows !== 0) continue;
    tellRows(toldRows);
    // Where there is no thread, other work has its turn; a thread hears whether it goes on.
    await setImmediate();
  }
  tellRows(count % toldRows);
}
