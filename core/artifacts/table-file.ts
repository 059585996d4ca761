import { mkdir, rm } from 'node:fs/promises';
import {
  type DuckDBAppender,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBListValue,
  DuckDBStructValue,
  type DuckDBValue,
  listValue,
  structValue,
} from '@duckdb/node-api';
import { UserError } from '../errors.js';
import { syncFile } from '../files/durable-files.js';
import type { Columns, Row } from './artifact.js';
import { type ColumnType, parseColumnType, quoteName, requireDistinctNames, sqlType } from './column-type.js';
import { RowConverter } from './row-values.js';

/** DuckDB's vector: the most that one chunk holds. */
const chunkRows = 2048;
/** Small enough that a row group of long traces (30 KB each) fits in memory several times. */
const rowGroupRows = 8192;
/** Rows wait in DuckDB until all are there; beyond this they wait on disk. */
const memoryLimit = '512MB';

export interface TableFileOptions {
  readonly columns: Columns;
  /** A folder that is not there yet, for what does not fit in memory. Removed at the end. */
  readonly scratchFolder: string;
}

/**
 * Writes rows, in their order, as a Parquet file (zstd), durably. The same rows and columns give the same bytes, however
 * the rows arrive: one thread, explicit types, fixed row groups.
 * @returns the number of rows
 * @throws UserError `row_does_not_fit`, `invalid_columns`, `invalid_column_type`
 */
export async function writeTable(
  file: string,
  rows: AsyncIterable<Row> | Iterable<Row>,
  options: TableFileOptions,
): Promise<number> {
  const types = columnTypes(options.columns);
  await mkdir(options.scratchFolder);
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    preserve_insertion_order: 'true',
    memory_limit: memoryLimit,
    temp_directory: options.scratchFolder,
  });
  try {
    const connection = await instance.connect();
    const declared = Object.entries(types).map(([name, type]) => `${quoteName(name)} ${sqlType(type)}`);
    await connection.run(`CREATE TABLE rows (${declared.join(', ')})`);
    const appender = await connection.createAppender('rows');
    const count = await appendRows(appender, rows, types);
    appender.closeSync();
    await connection.run(
      `COPY rows TO ${quoteText(file)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${rowGroupRows})`,
    );
    connection.closeSync();
    await syncFile(file);
    return count;
  } finally {
    instance.closeSync();
    await rm(options.scratchFolder, { recursive: true, force: true });
  }
}

/** Reads the rows of such a file in their order, a chunk at a time. @throws UserError `artifact_damaged` */
export function readTable(file: string, columns: Columns): AsyncIterable<Row> {
  return selectRows(file, columns, Object.keys(columns).map(quoteName), (error) => {
    throw new UserError('artifact_damaged', `Cannot read the table ${file}: ${error.message}`, {
      kind: 'environment',
      hint: 'Remove the folder of the artifact; what made it will make it again.',
      cause: error,
    });
  });
}

/**
 * Reads the rows of a Parquet file that somebody else wrote, in their order, each value converted to its column's type.
 * @throws UserError `invalid_table_file`, `invalid_column_type`
 */
export function readForeignTable(file: string, columns: Columns): AsyncIterable<Row> {
  const types = columnTypes(columns);
  const selected = Object.entries(types).map(
    ([name, type]) => `CAST(${quoteName(name)} AS ${sqlType(type)}) AS ${quoteName(name)}`,
  );
  return selectRows(file, columns, selected, (error) => refuseForeign(file, error));
}

/** The columns of such a file; single precision becomes double. @throws UserError as `readForeignTable` */
export async function foreignColumns(file: string): Promise<Columns> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  try {
    const connection = await instance.connect();
    const described = await connection
      .runAndReadAll(`DESCRIBE SELECT * FROM read_parquet(${quoteText(file)})`)
      .catch((error: Error) => refuseForeign(file, error));
    const named = described
      .getRowObjects()
      .map(({ column_name, column_type }) => [
        String(column_name),
        String(column_type).replaceAll(/\bFLOAT\b/g, 'DOUBLE'),
      ]);
    const columns: Columns = Object.fromEntries(named);
    columnTypes(columns);
    return columns;
  } finally {
    instance.closeSync();
  }
}

function refuseForeign(file: string, error: Error): never {
  throw new UserError('invalid_table_file', `Cannot read ${file} as a table: ${error.message}`, {
    kind: 'runFailed',
    hint: 'It must be a whole Parquet file with the columns that are asked for.',
    cause: error,
  });
}

async function* selectRows(
  file: string,
  columns: Columns,
  selected: readonly string[],
  refuse: (error: Error) => never,
): AsyncIterable<Row> {
  const names = Object.keys(columns);
  const instance = await DuckDBInstance.create(':memory:', { threads: '1', preserve_insertion_order: 'true' });
  try {
    const connection = await instance.connect();
    const query = `SELECT ${selected.join(', ')} FROM read_parquet(${quoteText(file)})`;
    const result = await connection.stream(query).catch(refuse);
    for (;;) {
      const chunk = await result.fetchChunk().catch(refuse);
      if (chunk === null || chunk.rowCount === 0) return;
      const values = chunk.getColumns();
      for (let index = 0; index < chunk.rowCount; index += 1) {
        yield Object.fromEntries(names.map((name, column) => [name, plain(values[column]![index]!)]));
      }
    }
  } finally {
    instance.closeSync();
  }
}

function columnTypes(columns: Columns): Readonly<Record<string, ColumnType>> {
  const names = Object.keys(columns);
  if (names.length === 0) throw new UserError('invalid_columns', 'The table has no columns.');
  requireDistinctNames(names, 'The table');
  return Object.fromEntries(names.map((name) => [name, parseColumnType(name, columns[name]!)]));
}

async function appendRows(
  appender: DuckDBAppender,
  rows: AsyncIterable<Row> | Iterable<Row>,
  types: Readonly<Record<string, ColumnType>>,
): Promise<number> {
  const converter = new RowConverter(types, { listValue, structValue });
  // One chunk for all: what it holds is not of the JavaScript heap, so that a collector would let many of them pile up.
  const chunk = DuckDBDataChunk.create(Object.keys(types).map((_, index) => appender.columnType(index)));
  let waiting: DuckDBValue[][] = [];
  let count = 0;
  const flush = () => {
    chunk.reset();
    chunk.setRows(waiting);
    appender.appendDataChunk(chunk);
    // The appender's own buffer is not bounded by the memory limit.
    appender.flushSync();
    waiting = [];
  };
  for await (const row of rows) {
    count += 1;
    waiting.push(converter.values(row, count));
    if (waiting.length === chunkRows) flush();
  }
  if (waiting.length > 0) flush();
  return count;
}

/** The value as plain JSON. Only such integers were written as a number can hold. */
function plain(value: DuckDBValue): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof DuckDBListValue) return value.items.map(plain);
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(Object.entries(value.entries).map(([name, inner]) => [name, plain(inner)]));
  }
  return value;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
