import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import type { DerivedRows, Row } from './artifact.js';
import { quoteName } from './column-type.js';
import {
  columnTypes,
  copyTo,
  fillPlaces,
  joinPlaces,
  parquet,
  quoteText,
  rowGroupRows,
  withScratch,
} from './duckdb-tables.js';
import { inOrder } from './in-order.js';
import { joinTables } from './join-tables.js';
import { damaged, type TableFileOptions } from './table-file.js';

/** Parts of a derived table that are under way at a time, and what they may be in memory. */
const mostTogether = 4;
const mostBytesTogether = 2 ** 28;

export interface DerivedFileOptions extends TableFileOptions, DerivedRows {
  /** The file with the rows. */
  readonly from: string;
}

/**
 * Writes rows of such a file as another one, durably; the same rows of the same file give the same bytes, whatever the
 * number of threads: each part of the file is read and packed by one of them.
 * @throws UserError `artifact_damaged`, and as `writeTable` for what is added
 */
export async function deriveTable(file: string, options: DerivedFileOptions): Promise<void> {
  const { from, columns, added, scratchFolder } = options;
  columnTypes(columns);
  const types = added === undefined ? {} : columnTypes(added.columns);
  const chosen = Object.keys(columns)
    .map((name) => `${name in types ? 'filled' : 'kept'}.${quoteName(name)}`)
    .join(', ');
  await withScratch(scratchFolder, async (instance) => {
    const refuse = (error: Error) => {
      // What cannot be written says nothing of what was read.
      throw error.message.includes(scratchFolder) ? error : damaged(from, error);
    };
    const { parts, together } = await partsToDerive(instance, options).catch(refuse);
    async function* copies(): AsyncIterable<() => Promise<string>> {
      for (const [index, part] of parts.entries()) {
        yield async () => {
          const connection = await instance.connect();
          const target = join(scratchFolder, `${index}.parquet`);
          const within = `kept.file_row_number >= ${part.first} AND kept.file_row_number < ${part.end}`;
          const source = `SELECT ${chosen} FROM ${parquet(from, true)} kept`;
          if (part.places === undefined) await copyTo(connection, target, `(${source} WHERE ${within})`).catch(refuse);
          else {
            const filled = await fillPlaces(connection, part.places, { name: `filled_${index}`, types }, part.rows);
            await copyTo(connection, target, `(${source}${joinPlaces(filled)} WHERE ${within})`).catch(refuse);
            await connection.run(`DROP TABLE ${filled}`);
          }
          connection.closeSync();
          return target;
        };
      }
    }
    await joinTables(file, inOrder(copies(), together), scratchFolder);
  });
}

/** Some row groups of a file, by its rows, and what is taken of them. */
interface DerivedPart {
  readonly first: number;
  readonly end: number;
  /** Undefined: all. */
  readonly places?: Uint32Array;
  /** What is added to each row. */
  readonly rows?: readonly Row[];
}

/** Parts that give a row group each, about, and how many of them may be under way: few, where the texts are long. */
async function partsToDerive(
  instance: DuckDBInstance,
  { from, positions, added }: DerivedFileOptions,
): Promise<{ readonly parts: readonly DerivedPart[]; readonly together: number }> {
  const connection = await instance.connect();
  const described = await connection.runAndReadAll(
    `SELECT any_value(row_group_num_rows), sum(total_uncompressed_size)::DOUBLE FROM parquet_metadata(${quoteText(from)})
     GROUP BY row_group_id ORDER BY row_group_id`,
  );
  connection.closeSync();
  const groups = described.getRows().map(([rows, bytes]) => ({ rows: Number(rows), bytes: Number(bytes) }));
  const all = positions ?? (added === undefined ? undefined : Uint32Array.from(added.rows.keys()));
  const parts: DerivedPart[] = [];
  let first = 0;
  let end = 0;
  let taken = 0;
  let bytes = 0;
  let mostBytes = 1;
  for (const [index, group] of groups.entries()) {
    end += group.rows;
    bytes += group.bytes;
    let next = taken;
    if (all === undefined) next = end;
    else while (next < all.length && (all[next] as number) < end) next++;
    if (next - taken < rowGroupRows && index < groups.length - 1) continue;
    parts.push({
      first,
      end,
      ...(all === undefined ? {} : { places: all.subarray(taken, next) }),
      ...(added === undefined ? {} : { rows: added.rows.slice(taken, next) }),
    });
    mostBytes = Math.max(mostBytes, bytes);
    [first, taken, bytes] = [end, next, 0];
  }
  const together = Math.min(availableParallelism(), mostTogether, Math.floor(mostBytesTogether / mostBytes));
  return { parts: parts.length > 0 ? parts : [{ first: 0, end: 0 }], together: Math.max(1, together) };
}
