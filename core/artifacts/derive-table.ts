import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import { inOrder } from '../in-order.js';
import type { AddedColumns, DerivedRows, FileContent } from './artifact.js';
import { quoteName } from './column-type.js';
import { damaged } from './damaged.js';
import {
  type AddedAtPlaces,
  columnTypes,
  copyTo,
  filledValue,
  fillPlaces,
  joinedInOrder,
  parquet,
  partBytes,
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

interface DerivedFileOptions extends TableFileOptions, Omit<DerivedRows, 'columns'> {
  /** The file with the rows. */
  readonly from: string;
}

/**
 * Writes rows of such a file as another one, durably; the same rows of the same file give the same bytes, whatever the
 * number of threads: each part of the file is read and packed by one of them.
 * @throws UserError `artifact_damaged`, and as `writeTable` for what is added; the signal's reason
 */
export async function deriveTable(file: string, options: DerivedFileOptions): Promise<FileContent> {
  const { from, columns, added, scratchFolder, signal, onRows } = options;
  const types = added === undefined ? {} : columnTypes(added.columns);
  const isFew = added?.few !== undefined;
  const chosen = Object.keys(columnTypes(columns)).map((name) => {
    const value = name in types ? filledValue(name, isFew) : `kept.${quoteName(name)}`;
    return `${value} AS ${quoteName(name)}`;
  });
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
          const source = `SELECT ${chosen.join(', ')} FROM ${parquet(from, true)} kept`;
          const { places } = part;
          const condition = places === undefined ? standsWithin(part) : standsAt(places, part);
          if (part.added === undefined) {
            await copyTo(connection, target, `(${source} WHERE ${condition})`).catch(refuse);
          } else {
            const filled = await fillPlaces(connection, part.added, { name: `filled_${index}`, types });
            await copyTo(connection, target, `(${joinedInOrder(source, filled, condition)})`).catch(refuse);
            for (const table of Object.values(filled)) await connection.run(`DROP TABLE ${table}`);
          }
          connection.closeSync();
          onRows?.(part.rows);
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
  /** How many are taken. */
  readonly rows: number;
  /** Undefined: all. */
  readonly places?: Uint32Array;
  readonly added?: AddedAtPlaces;
}

/** Parts that give a row group each, and how many of them may be under way: few, where the texts are long. */
async function partsToDerive(
  instance: DuckDBInstance,
  { from, positions, columns, added }: DerivedFileOptions,
): Promise<{ readonly parts: readonly DerivedPart[]; readonly together: number }> {
  const connection = await instance.connect();
  const groups = await rowGroupsOf(connection, from, Object.keys(columns));
  connection.closeSync();
  const ends = endsOf(groups.map((group) => group.rows));
  /** How many of the rows that are taken stand in a group and those before it. */
  const taken = positions === undefined ? ends : ends.map((end) => countBelow(positions, end));
  const takenIn = (group: number) => (taken[group] as number) - (taken[group - 1] ?? 0);
  const addedAt = added?.few?.positions ?? positions;
  const partOf = (first: number, end: number, rows: number): DerivedPart => ({
    first,
    end,
    rows,
    ...(positions === undefined ? {} : { places: between(positions, first, end) }),
    ...(added === undefined ? {} : { added: addedBetween(first, end, addedAt, added) }),
  });
  const parts: DerivedPart[] = [];
  let left = groups.reduce((sum, { rows, bytes }, index) => sum + (bytes * takenIn(index)) / rows, 0);
  let begun = { first: 0, taken: 0, bytes: 0, takenBytes: 0 };
  let mostBytes = 1;
  for (const [index, { rows, bytes }] of groups.entries()) {
    const [end, takenHere] = [ends[index] as number, taken[index] as number];
    begun.bytes += bytes;
    begun.takenBytes += (bytes * takenIn(index)) / rows;
    const next = taken[index + 1];
    if (next !== undefined && next - begun.taken <= rowGroupRows && begun.takenBytes < partBytes(left)) continue;
    left -= begun.takenBytes;
    parts.push(partOf(begun.first, end, takenHere - begun.taken));
    mostBytes = Math.max(mostBytes, begun.bytes);
    begun = { first: end, taken: takenHere, bytes: 0, takenBytes: 0 };
  }
  const together = Math.min(availableParallelism(), mostTogether, Math.floor(mostBytesTogether / mostBytes));
  return { parts: parts.length > 0 ? parts : [partOf(0, 0, 0)], together: Math.max(1, together) };
}

/** What is added to the rows of a range. @param positions of all rows that something is added to; undefined: all rows */
function addedBetween(
  first: number,
  end: number,
  positions: Uint32Array | undefined,
  { rows, few }: AddedColumns,
): AddedAtPlaces {
  const [from, to] =
    positions === undefined ? [first, end] : [countBelow(positions, first), countBelow(positions, end)];
  return {
    places: positions?.subarray(from, to) ?? Uint32Array.from({ length: end - first }, (_, index) => first + index),
    rowAt: (index) => (typeof rows === 'function' ? rows(from + index) : rows[from + index]!),
    ...(few === undefined ? {} : { others: few.others }),
  };
}

function between(positions: Uint32Array, first: number, end: number): Uint32Array {
  return positions.subarray(countBelow(positions, first), countBelow(positions, end));
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
