import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import { inOrder } from '../in-order.js';
import type { DerivedRows, FileContent, Row } from './artifact.js';
import { quoteName } from './column-type.js';
import { damaged } from './damaged.js';
import {
  columnTypes,
  copyTo,
  fillPlaces,
  joinedInOrder,
  parquet,
  rowGroupBytes,
  rowGroupRows,
  standsAt,
  standsWithin,
  withScratch,
} from './duckdb-tables.js';
import { joinTables } from './join-tables.js';
import type { TableFileOptions } from './table-file.js';
import { rowGroupsOf } from './table-parts.js';

/** Parts of a derived table that are under way at a time, and what they may be in memory. */
const mostTogether = 4;
const mostBytesTogether = 2 ** 28;

interface DerivedFileOptions extends TableFileOptions, DerivedRows {
  /** The file with the rows. */
  readonly from: string;
}

/**
 * Writes rows of such a file as another one, durably; the same rows of the same file give the same bytes, whatever the
 * number of threads: each part of the file is read and packed by one of them.
 * @throws UserError `artifact_damaged`, and as `writeTable` for what is added; the signal's reason
 */
export async function deriveTable(file: string, options: DerivedFileOptions): Promise<FileContent> {
  const { from, columns, added, scratchFolder, signal } = options;
  columnTypes(columns);
  const types = added === undefined ? {} : columnTypes(added.columns);
  const chosen = Object.keys(columns)
    .map((name) => `${name in types ? 'filled' : 'kept'}.${quoteName(name)}`)
    .join(', ');
  return withScratch(scratchFolder, async (instance) => {
    const refuse = (error: Error) => {
      // What cannot be written says nothing of what was read.
      throw error.message.includes(scratchFolder) ? error : damaged(from, error);
    };
    const { parts, together } = await partsToDerive(instance, options).catch(refuse);
    async function* copies(): AsyncIterable<() => Promise<string>> {
      for (const [index, part] of parts.entries()) {
        signal?.throwIfAborted();
        yield async () => {
          const connection = await instance.connect();
          const target = join(scratchFolder, `${index}.parquet`);
          const source = `SELECT ${chosen} FROM ${parquet(from, true)} kept`;
          const { places, rows } = part;
          const condition = places === undefined ? standsWithin(part) : standsAt(places, part);
          if (places === undefined || rows === undefined) {
            await copyTo(connection, target, `(${source} WHERE ${condition})`).catch(refuse);
          } else {
            const filled = await fillPlaces(connection, places, rows, { name: `filled_${index}`, types });
            await copyTo(connection, target, `(${joinedInOrder(source, filled, standsWithin(part))})`).catch(refuse);
            await connection.run(`DROP TABLE ${filled}`);
          }
          connection.closeSync();
          return target;
        };
      }
    }
    return joinTables(file, inOrder(copies(), together), scratchFolder);
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

/** Parts that give a row group each, and how many of them may be under way: few, where the texts are long. */
async function partsToDerive(
  instance: DuckDBInstance,
  { from, positions, added }: DerivedFileOptions,
): Promise<{ readonly parts: readonly DerivedPart[]; readonly together: number }> {
  const connection = await instance.connect();
  const groups = await rowGroupsOf(connection, from);
  connection.closeSync();
  const all = positions ?? (added === undefined ? undefined : Uint32Array.from(added.rows.keys()));
  const ends = endsOf(groups.map((group) => group.rows));
  /** How many of the rows that are taken stand in a group and those before it. */
  const taken = all === undefined ? ends : ends.map((end) => countBelow(all, end));
  const parts: DerivedPart[] = [];
  let begun = { first: 0, taken: 0, bytes: 0, takenBytes: 0 };
  let mostBytes = 1;
  for (const [index, { rows, bytes }] of groups.entries()) {
    const [end, takenHere] = [ends[index] as number, taken[index] as number];
    begun.bytes += bytes;
    begun.takenBytes += (bytes * (takenHere - (taken[index - 1] ?? 0))) / rows;
    const next = taken[index + 1];
    if (next !== undefined && next - begun.taken <= rowGroupRows && begun.takenBytes < rowGroupBytes) continue;
    parts.push({
      first: begun.first,
      end,
      ...(all === undefined ? {} : { places: all.subarray(begun.taken, takenHere) }),
      ...(added === undefined ? {} : { rows: added.rows.slice(begun.taken, takenHere) }),
    });
    mostBytes = Math.max(mostBytes, begun.bytes);
    begun = { first: end, taken: takenHere, bytes: 0, takenBytes: 0 };
  }
  const together = Math.min(availableParallelism(), mostTogether, Math.floor(mostBytesTogether / mostBytes));
  const none = { first: 0, end: 0, places: new Uint32Array(), ...(added === undefined ? {} : { rows: [] }) };
  return { parts: parts.length > 0 ? parts : [none], together: Math.max(1, together) };
}

function endsOf(sizes: readonly number[]): readonly number[] {
  let end = 0;
  return sizes.map((size) => {
    end += size;
    return end;
  });
}

/** @param positions ascending */
function countBelow(positions: Uint32Array, end: number): number {
  let low = 0;
  let high = positions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((positions[middle] as number) < end) low = middle + 1;
    else high = middle;
  }
  return low;
}
