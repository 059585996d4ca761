import { mkdir, rm } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { DuckDBConnection, DuckDBValue, DuckDBInstance as Instance } from '@duckdb/node-api';
import { isUserError, UserError } from '../errors.js';
import type { Columns, Row } from './artifact.js';
import { type ColumnType, parseColumnType, quoteName, requireDistinctNames, sqlType } from './column-type.js';
import { DuckDBDataChunk, DuckDBInstance, listValue, structValue } from './duckdb.js';
import { RowConverter } from './row-values.js';

/** DuckDB's vector: the most that one chunk holds. */
const chunkRows = 2048;
/** Characters that wait for a chunk: few enough that they die young, and that no chunk holds the event loop for long. */
const mostWaitingText = 2 ** 20;
/** Small enough that a row group of long traces (30 KB each) fits in memory several times. */
export const rowGroupRows = 8192;
/** Of long texts a row group has fewer rows: about so many bytes, unpacked, where something is known of them. */
const rowGroupBytes = 2 ** 24;

/** Bytes of a part that a thread does by itself, of so many that are left: the last are small, for threads to end together. */
export function partBytes(left: number): number {
  return left > 2 * rowGroupBytes ? rowGroupBytes : rowGroupBytes / 4;
}

/** Of zstd: half the time of its default, for files that are a fifth larger. */
const compressionLevel = 1;
/** Row groups wait in DuckDB until they are whole; beyond this they wait on disk. */
const memoryLimit = '1GB';

/** What a query reads ahead. Of a long text some bytes count: by DuckDB's own, a hundred megabytes come before the first row. */
const streamedBuffer = '100KB';

let reader: Promise<Instance> | undefined;

/**
 * A connection for reading tables, to be closed; of a DuckDB that this thread keeps, since to make one takes as long as to
 * read a megabyte or two.
 */
export async function connectToRead(): Promise<DuckDBConnection> {
  reader ??= DuckDBInstance.create(':memory:', {
    threads: '1',
    preserve_insertion_order: 'true',
    // What was read of a file would stay in memory.
    enable_external_file_cache: 'false',
  });
  reader.catch(forgetReader);
  const connection = await (await reader).connect();
  await connection.run(`SET streaming_buffer_size = '${streamedBuffer}'`);
  return connection;
}

/** A DuckDB that failed at a damaged file may fail at all others: the next reading gets another one. */
export function forgetReader(): void {
  reader = undefined;
}

/**
 * Gives a DuckDB that lives as long as the writing of a file.
 * @param scratchFolder one that is not there yet; removed at the end
 * @throws UserError `table_beyond_memory`
 */
export async function withScratch<T>(scratchFolder: string, write: (instance: Instance) => Promise<T>): Promise<T> {
  await mkdir(scratchFolder);
  // One thread for each query: with more of them rows come in another order each time.
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    preserve_insertion_order: 'true',
    memory_limit: memoryLimit,
    temp_directory: scratchFolder,
  });
  try {
    return await write(instance);
  } catch (error) {
    throw isBeyondMemory(error) ? beyondMemory(error) : error;
  } finally {
    instance.closeSync();
    await rm(scratchFolder, { recursive: true, force: true });
  }
}

/** What is written at the moment cannot wait on disk: of each column a block of 256 KiB at least. */
function isBeyondMemory(error: unknown): error is Error {
  return (
    error instanceof Error && !isUserError(error) && /^Out of Memory Error|\/[\d.]+ \w+ used\)/m.test(error.message)
  );
}

function beyondMemory(error: Error): UserError {
  const said = error.message.split('\n')[0];
  return new UserError(
    'table_beyond_memory',
    `The table is too wide, or its values are too large, to be written in ${memoryLimit} of memory: ${said}.`,
    { kind: 'runFailed', hint: 'Keep fewer columns: thousands of them are too many.', cause: error },
  );
}

/** Where rows are before they are read or copied. */
interface FilledTable {
  readonly name: string;
  readonly rowCount: number;
}

interface Filling {
  /** What the names of the tables begin with. */
  readonly name: string;
  readonly types: Readonly<Record<string, ColumnType>>;
  readonly rowsEach?: number;
}

/** Makes tables of rows: one at least, each but the last with so many rows. */
export async function* fillTables(
  connection: DuckDBConnection,
  rows: AsyncIterable<Row> | Iterable<Row>,
  { name, types, rowsEach }: Filling,
): AsyncIterable<FilledTable> {
  const declared = Object.entries(types).map(([column, type]) => `${quoteName(column)} ${sqlType(type)}`);
  let tables = 0;
  const createAppender = async () => {
    tables += 1;
    await connection.run(`CREATE TABLE ${name}_${tables} (${declared.join(', ')})`);
    return connection.createAppender(`${name}_${tables}`);
  };
  let appender = await createAppender();
  const converter = new RowConverter(types, { listValue, structValue });
  // One chunk for all: what it holds is not of the JavaScript heap, so that a collector would let many of them pile up.
  const chunk = DuckDBDataChunk.create(Object.keys(types).map((_, index) => appender.columnType(index)));
  let waiting: DuckDBValue[][] = [];
  let text = 0;
  let count = 0;
  let rowCount = 0;
  const flush = () => {
    chunk.reset();
    chunk.setRows(waiting);
    appender.appendDataChunk(chunk);
    // The appender's own buffer is not bounded by the memory limit.
    appender.flushSync();
    rowCount += waiting.length;
    waiting = [];
    text = 0;
  };
  for await (const row of rows) {
    if (rowCount + waiting.length === rowsEach) {
      if (waiting.length > 0) flush();
      appender.closeSync();
      yield { name: `${name}_${tables}`, rowCount };
      rowCount = 0;
      appender = await createAppender();
    }
    count += 1;
    const values = converter.values(row, count);
    waiting.push(values);
    for (const value of values) if (typeof value === 'string') text += value.length;
    if (waiting.length < chunkRows && text < mostWaitingText) continue;
    flush();
    // Of wide rows a few take long: other work has its turn, and a thread hears whether it goes on.
    await setImmediate();
  }
  if (waiting.length > 0) flush();
  appender.closeSync();
  yield { name: `${name}_${tables}`, rowCount };
}

/** @param source a table, or a query in brackets */
export async function copyTo(connection: DuckDBConnection, file: string, source: string): Promise<void> {
  const format = `FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${compressionLevel}, ROW_GROUP_SIZE ${rowGroupRows}`;
  await connection.run(`COPY ${source} TO ${quoteText(file)} (${format})`);
}

/**
 * A condition for rows of `kept` at some places of a range. A filter keeps rows in their order; what a join gives
 * for fewer than 64 rows of a chunk may come after later ones.
 * @param places ascending, within the range
 */
export function standsAt(places: Uint32Array, { first, end }: Range): string {
  const bits = Buffer.alloc(end - first + 1, '0');
  for (const at of places) bits[at - first] = one;
  const bit = `get_bit('${bits.toString('latin1')}'::BIT, CAST(kept.file_row_number - ${first} AS INTEGER))`;
  const within = standsWithin({ first, end });
  // Conditions may be looked at in any order, and no bit beyond the range.
  return `${within} AND CASE WHEN ${within} THEN ${bit} = 1 ELSE false END`;
}

/** As a digit of a bit string. */
const one = '1'.charCodeAt(0);

/** A condition for rows of `kept`: row groups that have none of them are not unpacked. */
export function standsWithin({ first, end }: Range): string {
  return `kept.file_row_number >= ${first} AND kept.file_row_number < ${end}`;
}

/** From one position to before another. */
interface Range {
  readonly first: number;
  readonly end: number;
}

/** DuckDB's name of a column of places. A file that has one cannot be read by places. */
export const rowNumber = 'file_row_number';
/** Name of a column of our own beside those of a table. */
const place = 'simmer.position';

/** What is added to rows, by their places. */
export interface AddedAtPlaces {
  /** Ascending. */
  readonly places: Uint32Array;
  /** What is added at each place, by the place's index. */
  readonly rowAt: (index: number) => Row;
  /** What rows at other places get; without it they are left out. */
  readonly others?: Row;
}

/** Names of tables: of what belongs to places, and of what all others get. */
interface FilledPlaces {
  readonly filled: string;
  readonly others?: string;
}

/** A join of `kept` with what is added to its rows, in their order. @param filled as `fillPlaces` says */
export function joinedInOrder(source: string, { filled, others }: FilledPlaces, condition: string): string {
  const same = `kept.file_row_number = filled.${quoteName(place)}`;
  const joined =
    others === undefined
      ? `JOIN ${filled} filled ON ${same}`
      : `LEFT JOIN ${filled} filled ON ${same} CROSS JOIN ${others} others`;
  return `${source} ${joined} WHERE ${condition} ORDER BY kept.file_row_number`;
}

/** The value of a column that is added. @param hasOthers whether rows at other places get one, too */
export function filledValue(name: string, hasOthers: boolean): string {
  const value = `filled.${quoteName(name)}`;
  if (!hasOthers) return value;
  return `CASE WHEN filled.${quoteName(place)} IS NULL THEN others.${quoteName(name)} ELSE ${value} END`;
}

/** Makes tables of what is added to rows. */
export async function fillPlaces(
  connection: DuckDBConnection,
  added: AddedAtPlaces,
  { name, types }: Filling,
): Promise<FilledPlaces> {
  const all = { [place]: parseColumnType(place, 'BIGINT'), ...types };
  const filled = await fillTable(connection, rowsAt(added), { name, types: all });
  if (added.others === undefined) return { filled };
  return { filled, others: await fillTable(connection, [added.others], { name: `${name}_others`, types }) };
}

async function fillTable(connection: DuckDBConnection, rows: Iterable<Row>, filling: Filling): Promise<string> {
  for await (const { name } of fillTables(connection, rows, filling)) return name;
  throw new Error('Even of no rows there is a table.');
}

/** SQL of the rows of one file. Without a word about it, folders named `domain=x` would put `x` in place of the column. */
export function parquet(file: string, withRowNumbers = false): string {
  const options = withRowNumbers ? ', file_row_number = true' : '';
  return `read_parquet(${quotePath(file)}, hive_partitioning = false${options})`;
}

/** SQL of a path to read from, where brackets, stars and question marks in it would stand for other characters. */
export function quotePath(file: string): string {
  return quoteText(file.replaceAll(/[[*?]/g, '[$&]'));
}

function* rowsAt({ places, rowAt }: AddedAtPlaces): Iterable<Row> {
  for (const [index, at] of places.entries()) yield { ...rowAt(index), [place]: at };
}

export function columnTypes(columns: Columns): Readonly<Record<string, ColumnType>> {
  const names = Object.keys(columns);
  if (names.length === 0) throw new UserError('invalid_columns', 'The table has no columns.');
  requireDistinctNames(names, 'The table');
  if (names.some((name) => name.toLowerCase() === rowNumber)) {
    throw new UserError(
      'invalid_columns',
      `No column can be called ${rowNumber}: so DuckDB calls the numbers of rows.`,
      {
        hint: 'Give it another name.',
      },
    );
  }
  return Object.fromEntries(names.map((name) => [name, parseColumnType(name, columns[name]!)]));
}

export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
