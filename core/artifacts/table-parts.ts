import type { DuckDBConnection } from '@duckdb/node-api';
import { damaged } from './damaged.js';
import { connectToRead, forgetReader, quotePath, rowGroupBytes, rowGroupRows } from './duckdb-tables.js';

/** A row group of a table. */
interface RowGroup {
  readonly rows: number;
  /** Of its columns, unpacked. */
  readonly bytes: number;
}

export async function rowGroupsOf(connection: DuckDBConnection, file: string): Promise<readonly RowGroup[]> {
  const described = await connection.runAndReadAll(
    `SELECT any_value(row_group_num_rows), sum(total_uncompressed_size)::DOUBLE FROM parquet_metadata(${quotePath(file)})
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
    for (const [index, group] of groups.entries()) {
      end += group.rows;
      bytes += group.bytes;
      const next = groups[index + 1];
      if (next !== undefined && bytes < rowGroupBytes && end + next.rows - first <= rowGroupRows) continue;
      parts.push({ first, end });
      [first, bytes] = [end, 0];
    }
    return parts;
  } finally {
    connection.closeSync();
  }
}
