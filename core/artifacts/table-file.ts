import { join } from 'node:path';
import type { DuckDBConnection, DuckDBDataChunk, DuckDBInstance, DuckDBValue } from '@duckdb/node-api';
import { UserError } from '../errors.js';
import { inOrder } from '../in-order.js';
import type { Columns, FileContent, Row, RowReading } from './artifact.js';
import { type ColumnType, quoteName, sqlType } from './column-type.js';
import { damaged } from './damaged.js';
import { DuckDBBlobVector, DuckDBListValue, DuckDBStructValue } from './duckdb.js';
import {
  columnTypes,
  connectToRead,
  copyTo,
  fillTables,
  forgetReader,
  parquet,
  quoteText,
  rowGroupRows,
  standsAt,
  standsWithin,
  withScratch,
} from './duckdb-tables.js';
import { joinTables } from './join-tables.js';

export interface TableFileOptions {
  readonly columns: Columns;
  /** A folder that is not there yet, for what does not fit in memory. Removed at the end. */
  readonly scratchFolder: string;
}

/**
 * Writes rows, in their order, as a Parquet file (zstd), durably. The same rows and columns give the same bytes, however
 * the rows arrive: explicit types, fixed row groups, each of them by one thread. While rows fill one, the one before it
 * is packed.
 * @throws UserError `row_does_not_fit`, `invalid_columns`, `invalid_column_type`, `table_beyond_memory`
 */
export async function writeTable(
  file: string,
  rows: AsyncIterable<Row> | Iterable<Row>,
  { columns, scratchFolder }: TableFileOptions,
): Promise<{ readonly content: FileContent; readonly rowCount: number }> {
  return withScratch(scratchFolder, async (instance) => {
    let rowCount = 0;
    async function* files(): AsyncIterable<string> {
      for await (const part of packRows(instance, rows, { columns, folder: scratchFolder, name: 'part' })) {
        rowCount += part.rowCount;
        yield part.file;
      }
    }
    const content = await joinTables(file, files(), scratchFolder);
    return { content, rowCount };
  });
}

/** A Parquet file of a row group, not durable yet. */
interface PackedRows {
  readonly file: string;
  readonly rowCount: number;
}

interface PackOptions {
  readonly columns: Columns;
  /** Where the files come. */
  readonly folder: string;
  /** What their names begin with. */
  readonly name: string;
}

/** Packs rows into files of a row group each: one at least. @throws UserError as `writeTable` */
export async function* packRows(
  instance: DuckDBInstance,
  rows: AsyncIterable<Row> | Iterable<Row>,
  { columns, folder, name }: PackOptions,
): AsyncIterable<PackedRows> {
  const types = columnTypes(columns);
  const filling = await instance.connect();
  // While a connection copies, nothing else can be done with it.
  const copying = await instance.connect();
  async function* copies(): AsyncIterable<() => Promise<PackedRows>> {
    for await (const table of fillTables(filling, rows, { name: 'filled', types, rowsEach: rowGroupRows })) {
      yield async () => {
        const file = join(folder, `${name}-${table.name}.parquet`);
        await copyTo(copying, file, table.name);
        await copying.run(`DROP TABLE ${table.name}`);
        return { file, rowCount: table.rowCount };
      };
    }
  }
  yield* inOrder(copies(), 1);
}

interface TableReading {
  /** Of the rows, ascending. @default all rows */
  readonly positions?: RowReading['positions'];
  /** "utf8": columns of text come as their bytes (`Uint8Array`). @default strings */
  readonly texts?: 'utf8' | undefined;
  /**
   * Nothing is read while rows are worked on: that may take for ever, and a thread that is ended while DuckDB reads in it
   * ends the process. @default false
   */
  readonly isUnbounded?: boolean;
}

/**
 * Reads rows of such a file in their order, a chunk at a time. @throws UserError `artifact_damaged`
 * @param columns those that are read
 */
export function readTable(file: string, columns: Columns, reading: TableReading = {}): AsyncIterable<Row> {
  const { texts } = reading;
  const selected = Object.entries(columns).map(([name, type]) =>
    texts === 'utf8' && type.toUpperCase() === 'VARCHAR' ? `encode(${quoteName(name)})` : quoteName(name),
  );
  return selectRows(file, columns, selected, (error) => damaged(file, error), reading);
}

/**
 * Reads the rows of a Parquet file that somebody else wrote, in their order, each value converted to its column's type;
 * a number that is not whole is no integer.
 * @throws UserError `invalid_table_file`, `invalid_column_type`
 */
export function readForeignTable(file: string, columns: Columns): AsyncIterable<Row> {
  const types = columnTypes(columns);
  const selected = Object.entries(types).map(([name, type]) => `${converted(name, type)} AS ${quoteName(name)}`);
  return selectRows(file, columns, selected, (error) => foreign(file, error));
}

/** SQL of a column's values in a type. By themselves casts make 2 of 1.5, where whole numbers are asked for. */
function converted(name: string, type: ColumnType): string {
  const as = (value: string, to: ColumnType) => `CAST(${value} AS ${sqlType(to)})`;
  const cast = as(quoteName(name), type);
  const unrounded = withFractions(type);
  if (sqlType(unrounded) === sqlType(type)) return cast;
  const differs = `${as(cast, unrounded)} IS DISTINCT FROM ${as(quoteName(name), unrounded)}`;
  const message = quoteText(`The column "${name}" is ${sqlType(type)}, and a number in it is not whole.`);
  return `CASE WHEN ${differs} THEN error(${message}) ELSE ${cast} END`;
}

/** The type with numbers in place of integers. */
function withFractions(type: ColumnType): ColumnType {
  switch (type.kind) {
    case 'integer':
      return { kind: 'number' };
    case 'list':
      return { kind: 'list', of: withFractions(type.of) };
    case 'struct': {
      const fields = Object.entries(type.fields).map(([name, field]) => [name, withFractions(field)] as const);
      return { kind: 'struct', fields: Object.fromEntries(fields) };
    }
    default:
      return type;
  }
}

/** The columns of such a file; single precision becomes double. @throws UserError as `readForeignTable` */
export async function foreignColumns(file: string): Promise<Columns> {
  const connection = await connectToRead();
  try {
    const described = await connection
      .runAndReadAll(`DESCRIBE SELECT * FROM ${parquet(file)}`)
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
    connection.closeSync();
  }
}

/** The rows of a table. */
export interface TableRows {
  readonly rowCount: number;
  readonly columns: Columns;
  rows(reading?: RowReading): AsyncIterable<Row>;
}

/** A copy of a store's table file, without the manifest that tells of it. @throws UserError `invalid_table_file` */
export async function openTableCopy(file: string): Promise<TableRows> {
  const columns = await foreignColumns(file);
  const connection = await connectToRead();
  try {
    const rowCount = await countRows(connection, file).catch((error: Error) => refuseForeign(file, error));
    const rows = ({ columns: wanted = Object.keys(columns), positions }: RowReading = {}) => {
      const read = Object.fromEntries(wanted.map((column) => [column, columns[column] ?? '']));
      return readTable(file, read, positions === undefined ? {} : { positions });
    };
    return { rowCount, columns, rows };
  } finally {
    connection.closeSync();
  }
}

function refuseForeign(file: string, error: Error): never {
  forgetReader();
  throw foreign(file, error);
}

async function countRows(connection: DuckDBConnection, file: string): Promise<number> {
  const counted = await connection.runAndReadAll(`SELECT count(*) FROM ${parquet(file)}`);
  return Number(counted.getRows()[0]?.[0]);
}

function foreign(file: string, error: Error): UserError {
  return new UserError('invalid_table_file', `Cannot read ${file} as a table: ${error.message}`, {
    kind: 'runFailed',
    hint: 'It must be a whole Parquet file with the columns that are asked for.',
    cause: error,
  });
}

async function* selectRows(
  file: string,
  columns: Columns,
  selected: readonly string[],
  asUserError: (error: Error) => UserError,
  { positions, isUnbounded = false }: TableReading = {},
): AsyncIterable<Row> {
  const names = Object.keys(columns);
  const refuse = (error: Error) => {
    forgetReader();
    throw asUserError(error);
  };
  const connection = await connectToRead();
  let next: Promise<DuckDBDataChunk | null> | undefined;
  try {
    const query = `SELECT ${selected.join(', ')} FROM ${rowsToRead(file, positions)}`;
    const expected = await rowsExpected(connection, file, positions).catch(refuse);
    let read = 0;
    const result = await connection.stream(query).catch(refuse);
    next = result.fetchChunk();
    for (;;) {
      const chunk = await next.catch(refuse);
      if (chunk === null || chunk.rowCount === 0) {
        if (read < expected) refuse(await whatFailed(connection, query, read));
        return;
      }
      read += chunk.rowCount;
      if (!isUnbounded) {
        // While its rows are worked on, the next one is unpacked.
        next = result.fetchChunk();
        next.catch(() => {});
      }
      const values = names.map((_, column) => columnValues(chunk, column));
      for (let index = 0; index < chunk.rowCount; index += 1) {
        const row: Record<string, unknown> = {};
        for (const [column, name] of names.entries()) row[name] = values[column]![index];
        yield row;
      }
      if (isUnbounded) next = result.fetchChunk();
    }
  } finally {
    await next?.catch(() => {});
    connection.closeSync();
  }
}

/** How many rows a reading gives of a file that is whole. */
async function rowsExpected(
  connection: DuckDBConnection,
  file: string,
  positions: RowReading['positions'],
): Promise<number> {
  const rows = await countRows(connection, file);
  if (positions === undefined) return rows;
  if ('first' in positions) return Math.max(0, Math.min(positions.end, rows) - positions.first);
  return positions.filter((at, index) => at < rows && at !== positions[index - 1]).length;
}

/** DuckDB ends a stream where something fails, without a word: where nothing is streamed, it says what. */
async function whatFailed(connection: DuckDBConnection, query: string, read: number): Promise<Error> {
  try {
    await connection.run(`SELECT max(hash(given)) FROM (${query}) given`);
  } catch (error) {
    return error as Error;
  }
  return new Error(`it ends after ${read} rows`);
}

function columnValues(chunk: DuckDBDataChunk, column: number): readonly unknown[] {
  const vector = chunk.getColumnVector(column);
  if (!(vector instanceof DuckDBBlobVector)) return chunk.getColumnValues(column).map(plain);
  const items = Array.from({ length: chunk.rowCount }, (_, row) => vector.getItemBytes(row));
  // They lie in the chunk's memory, and nothing holds that once the chunk is out of sight.
  const own = new Uint8Array(items.reduce((sum, item) => sum + (item?.length ?? 0), 0));
  let end = 0;
  return items.map((item) => {
    if (item === null) return null;
    own.set(item, end);
    end += item.length;
    return own.subarray(end - item.length, end);
  });
}

/** What a query reads them from, by the name `kept`. */
function rowsToRead(file: string, positions: RowReading['positions']): string {
  if (positions === undefined) return `${parquet(file)} kept`;
  const source = `${parquet(file, true)} kept WHERE`;
  if ('first' in positions) return `${source} ${standsWithin(positions)}`;
  const range = { first: positions[0] ?? 0, end: (positions.at(-1) ?? -1) + 1 };
  return `${source} ${standsAt(positions, range)}`;
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
