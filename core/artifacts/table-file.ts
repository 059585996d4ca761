import { mkdir, rm } from 'node:fs/promises';
import {
  type DuckDBAppender,
  DuckDBBlobVector,
  type DuckDBConnection,
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
import type { Columns, DerivedRows, Row, RowReading } from './artifact.js';
import { type ColumnType, parseColumnType, quoteName, requireDistinctNames, sqlType } from './column-type.js';
import { RowConverter } from './row-values.js';

/** DuckDB's vector: the most that one chunk holds. */
const chunkRows = 2048;
/** Characters that wait for a chunk: few enough that they die young, and that no chunk holds the event loop for long. */
const mostWaitingText = 2 ** 20;
/** Small enough that a row group of long traces (30 KB each) fits in memory several times. */
const rowGroupRows = 8192;
/** Of zstd: half the time of its default, for files that are a fifth larger. */
const compressionLevel = 1;
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
  { columns, scratchFolder }: TableFileOptions,
): Promise<number> {
  const types = columnTypes(columns);
  return withScratch(scratchFolder, async (connection) => {
    const count = await fillTable(connection, rows, types);
    await copyTo(connection, file, 'filled');
    return count;
  });
}

export interface DerivedFileOptions extends TableFileOptions, DerivedRows {
  /** The file with the rows. */
  readonly from: string;
}

/**
 * Writes rows of such a file as another one, durably; the same rows of the same file give the same bytes.
 * @throws UserError `artifact_damaged`, and as `writeTable` for what is added
 */
export async function deriveTable(file: string, options: DerivedFileOptions): Promise<void> {
  const { from, columns, positions, added, scratchFolder } = options;
  columnTypes(columns);
  await withScratch(scratchFolder, async (connection) => {
    const copy = (query: string) =>
      copyTo(connection, file, `(${query})`).catch((error: Error) => {
        // What cannot be written says nothing of what was read.
        throw error.message.includes(file) ? error : damaged(from, error);
      });
    const source = parquet(from, true);
    const selected = (prefixOf: (name: string) => string) =>
      Object.keys(columns)
        .map((name) => `${prefixOf(name)}.${quoteName(name)}`)
        .join(', ');
    if (positions === undefined && added === undefined) {
      return copy(`SELECT ${selected(() => 'kept')} FROM ${source} kept`);
    }
    const types = added === undefined ? {} : columnTypes(added.columns);
    await fillPlaces(connection, positions ?? (added?.rows ?? []).keys(), types, added?.rows);
    const chosen = selected((name) => (name in types ? 'filled' : 'kept'));
    await copy(`SELECT ${chosen} FROM ${source} kept${joinPlaces}`);
  });
}

async function withScratch<T>(scratchFolder: string, write: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  await mkdir(scratchFolder);
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    preserve_insertion_order: 'true',
    memory_limit: memoryLimit,
    temp_directory: scratchFolder,
  });
  try {
    const connection = await instance.connect();
    const result = await write(connection);
    connection.closeSync();
    return result;
  } finally {
    instance.closeSync();
    await rm(scratchFolder, { recursive: true, force: true });
  }
}

/** Makes the table `filled`. */
async function fillTable(
  connection: DuckDBConnection,
  rows: AsyncIterable<Row> | Iterable<Row>,
  types: Readonly<Record<string, ColumnType>>,
): Promise<number> {
  const declared = Object.entries(types).map(([name, type]) => `${quoteName(name)} ${sqlType(type)}`);
  await connection.run(`CREATE TABLE filled (${declared.join(', ')})`);
  const appender = await connection.createAppender('filled');
  const count = await appendRows(appender, rows, types);
  appender.closeSync();
  return count;
}

/** @param source a table, or a query in brackets */
async function copyTo(connection: DuckDBConnection, file: string, source: string): Promise<void> {
  const format = `FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${compressionLevel}, ROW_GROUP_SIZE ${rowGroupRows}`;
  await connection.run(`COPY ${source} TO ${quoteText(file)} (${format})`);
  await syncFile(file);
}

export interface TableReading {
  /** Of the rows, ascending. @default all rows */
  readonly positions?: RowReading['positions'];
  /** "utf8": columns of text come as their bytes (`Uint8Array`). @default strings */
  readonly texts?: 'utf8' | undefined;
}

/**
 * Reads rows of such a file in their order, a chunk at a time. @throws UserError `artifact_damaged`
 * @param columns those that are read
 */
export function readTable(file: string, columns: Columns, { positions, texts }: TableReading = {}): AsyncIterable<Row> {
  const refuse = (error: Error) => {
    throw damaged(file, error);
  };
  const selected = Object.entries(columns).map(([name, type]) =>
    texts === 'utf8' && type.toUpperCase() === 'VARCHAR' ? `encode(${quoteName(name)})` : quoteName(name),
  );
  return selectRows(file, columns, selected, refuse, positions);
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

function damaged(file: string, cause: Error): UserError {
  return new UserError('artifact_damaged', `Cannot read the table ${file}: ${cause.message}`, {
    kind: 'environment',
    hint: 'Remove the folder of the artifact; what made it will make it again.',
    cause,
  });
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
  positions?: RowReading['positions'],
): AsyncIterable<Row> {
  const names = Object.keys(columns);
  const instance = await DuckDBInstance.create(':memory:', { threads: '1', preserve_insertion_order: 'true' });
  try {
    const connection = await instance.connect();
    const query = `SELECT ${selected.join(', ')} FROM ${await rowsToRead(connection, file, positions)}`;
    const result = await connection.stream(query).catch(refuse);
    for (;;) {
      const chunk = await result.fetchChunk().catch(refuse);
      if (chunk === null || chunk.rowCount === 0) return;
      const values = names.map((_, column) => columnValues(chunk, column));
      for (let index = 0; index < chunk.rowCount; index += 1) {
        const row: Record<string, unknown> = {};
        for (const [column, name] of names.entries()) row[name] = values[column]![index];
        yield row;
      }
    }
  } finally {
    instance.closeSync();
  }
}

function columnValues(chunk: DuckDBDataChunk, column: number): readonly unknown[] {
  const vector = chunk.getColumnVector(column);
  if (!(vector instanceof DuckDBBlobVector)) return chunk.getColumnValues(column).map(plain);
  return Array.from({ length: chunk.rowCount }, (_, row) => {
    const bytes = vector.getItemBytes(row);
    // Short ones lie in the chunk, which is gone with the next one.
    return bytes !== null && bytes.length <= shortText ? bytes.slice() : bytes;
  });
}

/** Bytes that DuckDB keeps in the value itself. */
const shortText = 12;

/** What a query reads them from, by the name `kept`. */
async function rowsToRead(
  connection: DuckDBConnection,
  file: string,
  positions: RowReading['positions'],
): Promise<string> {
  if (positions === undefined) return `${parquet(file)} kept`;
  // Row groups that have none of them are not unpacked.
  const within = ({ first, end }: { readonly first: number; readonly end: number }) =>
    ` WHERE kept.file_row_number >= ${first} AND kept.file_row_number < ${end}`;
  if ('first' in positions) return `${parquet(file, true)} kept${within(positions)}`;
  await fillPlaces(connection, positions);
  return `${parquet(file, true)} kept${joinPlaces}`;
}

/** Name of a column of our own beside those of a table. */
const place = 'simmer.position';
/** A hash join streams its larger side: rows keep their order. */
const joinPlaces = ` JOIN filled ON kept.file_row_number = filled.${quoteName(place)}`;

/** Makes the table `filled` with places of rows, and what belongs to them. */
async function fillPlaces(
  connection: DuckDBConnection,
  places: Iterable<number>,
  types: Readonly<Record<string, ColumnType>> = {},
  rows?: readonly Row[],
): Promise<void> {
  await fillTable(connection, rowsAt(places, rows), { [place]: parseColumnType(place, 'BIGINT'), ...types });
}

function parquet(file: string, withRowNumbers = false): string {
  return `read_parquet(${quoteText(file)}${withRowNumbers ? ', file_row_number = true' : ''})`;
}

function* rowsAt(places: Iterable<number>, rows: readonly Row[] | undefined): Iterable<Row> {
  let index = 0;
  for (const at of places) yield { ...rows?.[index++], [place]: at };
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
  let text = 0;
  let count = 0;
  const flush = () => {
    chunk.reset();
    chunk.setRows(waiting);
    appender.appendDataChunk(chunk);
    // The appender's own buffer is not bounded by the memory limit.
    appender.flushSync();
    waiting = [];
    text = 0;
  };
  for await (const row of rows) {
    count += 1;
    const values = converter.values(row, count);
    waiting.push(values);
    for (const value of values) if (typeof value === 'string') text += value.length;
    if (waiting.length === chunkRows || text >= mostWaitingText) flush();
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
