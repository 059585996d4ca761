import type { DuckDBConnection, DuckDBTimestampTZValue, DuckDBValueConverter, JS } from '@duckdb/node-api';
import { isUserError } from 'simmerkit';
import { dataError, requireDistinct } from './data-error.js';
import { LongDecimals, type SourceRow } from './source-row.js';

/**
 * The rows of a Parquet file. Dates, times and decimal numbers come as text: JavaScript has no values that hold all of them.
 * @param isRead whether a column is looked at; another one is null in each row, since embeddings take long to read
 * @throws UserError `malformed_data`, `duplicate_column`
 */
export async function* readParquet(file: string, isRead: (column: string) => boolean): AsyncIterable<SourceRow> {
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  // To DuckDB brackets, stars and question marks stand for other characters.
  const path = file.replaceAll(/[[*?]/g, '[$&]');
  try {
    const columns = await columnsOf(connection, path, isRead);
    requireDistinct(
      columns.map(({ name }) => name),
      { file },
    );
    const toJs = await valueConverter();
    // Without a word about it, folders named `domain=x` would put `x` in place of the column.
    const rowsOfFile = 'FROM read_parquet($1, hive_partitioning = false)';
    const counted = await connection.runAndReadAll(`SELECT count(*) ${rowsOfFile}`, [path]);
    const query = `SELECT ${columns.map(({ selected }) => selected).join(', ')} ${rowsOfFile}`;
    const result = await connection.stream(query, [path]);
    let row = 0;
    for await (const rows of result.yieldConvertedRows(toJs)) {
      for (const values of rows) {
        const cells = columns.map(({ name, isReadable }, at) => {
          const value = values[at] ?? null;
          return [name, isReadable || value === null ? value : new LongDecimals()] as const;
        });
        yield { row: Object.fromEntries(cells), place: { file, row: ++row } };
      }
    }
    // DuckDB ends a stream where something fails, without a word: where nothing is streamed, it says what.
    if (row === Number(counted.getRows()[0]?.[0])) return;
    await connection.run(`SELECT max(hash(given)) FROM (${query}) given`, [path]);
    throw new Error(`it ends after ${row} rows`);
  } catch (error) {
    throw isUserError(error) ? error : unreadable(file, error as Error);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

interface FileColumn {
  /** As it stands in the file: DuckDB gives other names to those that differ in nothing but their case. */
  readonly name: string;
  /** What of DuckDB's columns stands for it, by its position. */
  readonly selected: string;
  /** DuckDB takes decimal numbers that it has no type for as others, which are far off, without a word. */
  readonly isReadable: boolean;
}

const mostDecimalDigits = 38;

async function columnsOf(
  connection: DuckDBConnection,
  path: string,
  isRead: (column: string) => boolean,
): Promise<readonly FileColumn[]> {
  const query = 'SELECT name, coalesce(num_children, 0), coalesce(precision, 0) FROM parquet_schema($1)';
  const elements = (await connection.runAndReadAll(query, [path])).getRows().slice(1);
  const columns: FileColumn[] = [];
  // Each element stands before its children, the root before all.
  let within = 0;
  for (const [element, children, digits] of elements) {
    const outer = within > 0 ? columns.pop() : undefined;
    const name = String(element);
    const column = outer ?? { name, selected: isRead(name) ? `#${columns.length + 1}` : 'NULL', isReadable: true };
    columns.push({ ...column, isReadable: column.isReadable && Number(digits) <= mostDecimalDigits });
    within = Math.max(0, within - 1) + Number(children);
  }
  return columns;
}

async function valueConverter(): Promise<DuckDBValueConverter<JS>> {
  const { DuckDBTimestampValue, DuckDBTypeId, JSDuckDBValueConverter } = await import('@duckdb/node-api');
  return (value, type, converter) => {
    if (value === null) return null;
    switch (type.typeId) {
      case DuckDBTypeId.FLOAT:
        return asWritten(value as number);
      case DuckDBTypeId.DATE:
      case DuckDBTypeId.DECIMAL:
      case DuckDBTypeId.INTERVAL:
      case DuckDBTypeId.TIME:
      case DuckDBTypeId.TIME_NS:
      case DuckDBTypeId.TIME_TZ:
      case DuckDBTypeId.TIMESTAMP:
      case DuckDBTypeId.TIMESTAMP_MS:
      case DuckDBTypeId.TIMESTAMP_NS:
      case DuckDBTypeId.TIMESTAMP_S:
        return String(value);
      // By itself it would say the time of this machine's zone.
      case DuckDBTypeId.TIMESTAMP_TZ:
        return `${new DuckDBTimestampValue((value as DuckDBTimestampTZValue).micros)}+00`;
      default:
        return JSDuckDBValueConverter(value, type, converter);
    }
  };
}

/** A number of single precision by the fewest digits that tell it from others: 0.1, and not 0.10000000149011612. */
function asWritten(single: number): number {
  // One after the other: rows may have embeddings, of a thousand numbers each.
  for (const digits of [6, 7, 8]) {
    const number = Number(single.toPrecision(digits));
    if (Math.fround(number) === single) return number;
  }
  return Number(single.toPrecision(9));
}

function unreadable(file: string, cause: Error): Error {
  return dataError(
    'malformed_data',
    { file },
    `this is not a Parquet file that can be read (${cause.message.split('\n')[0]}).`,
    'Check that it was downloaded completely, or set `format`.',
    cause,
  );
}
