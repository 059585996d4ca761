import type { DuckDBConnection, DuckDBTimestampTZValue, DuckDBValueConverter, JS } from '@duckdb/node-api';
import { isUserError } from 'simmerkit';
import { dataError, requireDistinct } from './data-error.js';
import type { SourceRow } from './source-row.js';

/**
 * The rows of a Parquet file. Dates, times and decimal numbers come as text: JavaScript has no values that hold all of them.
 * @throws UserError `malformed_data`, `duplicate_column`
 */
export async function* readParquet(file: string): AsyncIterable<SourceRow> {
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  // To DuckDB brackets, stars and question marks stand for other characters.
  const path = file.replaceAll(/[[*?]/g, '[$&]');
  try {
    const names = await columnNames(connection, path);
    requireDistinct(names, { file });
    const toJs = await valueConverter();
    // Without a word about it, folders named `domain=x` would put `x` in place of the column.
    const rowsOfFile = 'FROM read_parquet($1, hive_partitioning = false)';
    const counted = await connection.runAndReadAll(`SELECT count(*) ${rowsOfFile}`, [path]);
    const result = await connection.stream(`SELECT * ${rowsOfFile}`, [path]);
    let row = 0;
    for await (const rows of result.yieldConvertedRows(toJs)) {
      for (const values of rows) {
        yield { row: Object.fromEntries(names.map((name, at) => [name, values[at]])), place: { file, row: ++row } };
      }
    }
    // DuckDB ends a stream where something fails, without a word: where nothing is streamed, it says what.
    if (row === Number(counted.getRows()[0]?.[0])) return;
    await connection.run(`SELECT max(hash(given)) FROM (SELECT * ${rowsOfFile}) given`, [path]);
    throw new Error(`it ends after ${row} rows`);
  } catch (error) {
    throw isUserError(error) ? error : unreadable(file, error as Error);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** As they stand in the file: DuckDB gives other names to those that differ in nothing but their case. */
async function columnNames(connection: DuckDBConnection, path: string): Promise<readonly string[]> {
  const query = 'SELECT name, coalesce(num_children, 0) FROM parquet_schema($1)';
  const elements = (await connection.runAndReadAll(query, [path])).getRows().slice(1);
  const names: string[] = [];
  // Each element stands before its children, the root before all.
  let within = 0;
  for (const [name, children] of elements) {
    if (within > 0) within -= 1;
    else names.push(String(name));
    within += Number(children);
  }
  return names;
}

async function valueConverter(): Promise<DuckDBValueConverter<JS>> {
  const { DuckDBTimestampValue, DuckDBTypeId, JSDuckDBValueConverter } = await import('@duckdb/node-api');
  return (value, type, converter) => {
    if (value === null) return null;
    switch (type.typeId) {
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

function unreadable(file: string, cause: Error): Error {
  return dataError(
    'malformed_data',
    { file },
    `this is not a Parquet file that can be read (${cause.message.split('\n')[0]}).`,
    'Check that it was downloaded completely, or set `format`.',
    cause,
  );
}
