import type { DuckDBConnection } from '@duckdb/node-api';
import { damaged } from './damaged.js';
import { connectToRead, forgetReader, partBytes, quotePath, quoteText, rowGroupRows } from './duckdb-tables.js';

/** A row group of a table. */
interface RowGroup {
  readonly rows: number;
  /** Of its columns, unpacked. */
  readonly bytes: number;
}

/** @param columns whose bytes count. @default all */
export async function rowGroupsOf(
  connection: DuckDBConnection,
  file: string,
  columns?: readonly string[],
): Promise<readonly RowGroup[]> {
  // Of a nested column, the path begins with its name.
  const counted =
    columns === undefined ? 'true' : `split_part(path_in_schema, ', ', 1) IN (${columns.map(quoteText).join(', ')})`;
  const described = await connection.runAndReadAll(
    `SELECT any_value(row_group_num_rows), coalesce(sum(total_uncompressed_size) FILTER (${counted}), 0)::DOUBLE FROM parquet_metadata(${quotePath(file)})
     GROUP BY row_group_id ORDER BY row_group_id`,
  );
  return described.getRows().map(([rows, bytes]) => ({ rows: Number(rows), bytes: Number(bytes) }));
}

/** Rows of a table in parts of whole row groups, which are only unpacked as a whole; a function of the file alone. @throws UserError `artifact_damaged` */
export async function partsOfTable(file: string): Promise<readonly { readonly first: number; readonly end: number }[]> {
  const connection = await connectToRead();
  try {
    const groups = await rowGroupsOf(connection, file).catch((error: Error) => {
      forgetReader();
      throw damaged(file, error);
    });
    const parts: { readonly first: number; readonly end: number }[] = [];
    let first = 0;
    let end = 0;
    let bytes = 0;
    let left = groups.reduce((sum, group) => sum + group.bytes, 0);
    for (const [index, group] of groups.entries()) {
      end += group.rows;
      bytes += group.bytes;
      const next = groups[index + 1];
      if (next !== undefined && bytes < partBytes(left) && end + next.rows - first <= rowGroupRows) continue;
      parts.push({ first, end });
      left -= bytes;
      [first, bytes] = [end, 0];
    }
    return parts;
  } finally {
    connection.closeSync();
  }
}
