import { basename } from 'node:path';
import { isUserError, type Row, type StartRows, type UserError } from 'simmerkit';
import type { DataPlace } from './data-error.js';
import { readRows } from './data-reader.js';
import {
  columnsToFind,
  fieldIn,
  fieldMapper,
  fieldNamesOf,
  fieldReader,
  type Mapped,
  rowFilter,
} from './field-mapping.js';
import { hasQuestion, idOfRow, systemMessages } from './history.js';
import { unusedFields } from './layouts.js';
import type { LoadOptions } from './load-options.js';
import type { Piece } from './load-tasks.js';
import type { ReadPart } from './read-parts.js';

/** What was read of some pieces, beside the rows. */
export interface Loaded {
  readonly parts: readonly ReadPart[];
  /** Of the rows that were dropped. */
  readonly decisions: readonly (Row & { readonly rule: string })[];
}

/** Reads pieces of files, and maps their rows to columns. */
export const start: StartRows<LoadOptions, readonly Piece[], Loaded> = (options) => {
  const sources = new Map(
    Object.entries(options.sources).map(([name, source]) => [
      name,
      {
        mapRow: fieldMapper(source, options),
        isTaken: rowFilter(source),
        isRead: fieldReader(source),
        unusedOf: (row: Row) => unusedFields(row, source),
        losesSystem:
          source.layout !== 'columns' &&
          source.layout !== 'chat' &&
          !source.history &&
          !Object.entries(source.fields).some(([column, field]) => fieldNamesOf(column, field).includes('system')),
        limit: source.limit ?? Number.POSITIVE_INFINITY,
        delimiter: source.delimiter,
        toFind: columnsToFind(source, options).flatMap((column) => fieldNamesOf(column, source.fields[column])),
      },
    ]),
  );
  const givesFaults = options.malformed === 'drop';
  return (pieces) => {
    const takenOf = new Map<string, number>();
    const parts: ReadPart[] = [];
    const decisions: (Row & { readonly rule: string })[] = [];
    async function* rows(): AsyncIterable<Row> {
      for (const { source: name, file, format, lines } of pieces) {
        const { mapRow, isTaken, isRead, unusedOf, losesSystem, limit, delimiter, toFind } = sources.get(
          name,
        ) as NonNullable<ReturnType<typeof sources.get>>;
        const left = limit - (takenOf.get(name) ?? 0);
        if (left <= 0) continue;
        let [read, taken, kept] = [0, 0, 0];
        let names: readonly string[] | undefined;
        const absent = new Set(toFind);
        let fault: string | undefined;
        const unused: Record<string, number> = {};
        const beside = { had: {} as Record<string, number>, lacked: {} as Record<string, number> };
        const drop = (place: DataPlace, { code, problems, message }: UserError) => {
          const evidence = `${name}: ${placeOf(place)}: ${problems[0]?.message ?? message}`;
          fault ??= evidence;
          decisions.push({ id: null, kept: false, rule: code, evidence });
        };
        const all = readRows(file, format, { lines, isRead, delimiter, givesFaults });
        for await (const one of whileWanted(all, () => taken < left)) {
          read++;
          const { place } = one;
          if ('fault' in one) {
            taken++;
            drop(place, one.fault);
            continue;
          }
          const { row } = one;
          if (!isTaken(row)) continue;
          taken++;
          let mapped: Mapped;
          try {
            mapped = mapRow(row, place);
          } catch (error) {
            if (!givesFaults || !isUserError(error) || error.code !== 'half_character') throw error;
            drop(place, error);
            continue;
          }
          if (mapped.from !== undefined) {
            names ??= Object.keys(mapped.from);
            for (const field of absent) {
              if (fieldIn(mapped.from, field) !== undefined) absent.delete(field);
            }
          }
          const { missing } = mapped;
          if (missing === undefined) {
            kept++;
            const lost = losesSystem && systemMessages(mapped.from?.system).length > 0 ? ['system'] : [];
            for (const field of [...unusedOf(row), ...lost]) unused[field] = (unused[field] ?? 0) + 1;
            for (const [field, isThere] of mapped.beside ?? []) {
              const counts = isThere ? beside.had : beside.lacked;
              counts[field] = (counts[field] ?? 0) + 1;
            }
            yield { source: name, ...mapped.row, id: idOfRow(mapped.row) };
            continue;
          }
          // Of other columns than its question a row that is dropped may have some alone.
          const id = hasQuestion(mapped.row) ? idOfRow(mapped.row) : null;
          decisions.push({ id, kept: false, rule: `no_${missing}`, evidence: `${name}: ${placeOf(place)}` });
        }
        takenOf.set(name, taken + (takenOf.get(name) ?? 0));
        const part = { source: name, file, read, taken, kept, absent: [...absent], unused, beside };
        parts.push({ ...part, ...(names === undefined ? {} : { names }), ...(fault === undefined ? {} : { fault }) });
      }
    }
    return { rows: rows(), told: () => ({ parts, decisions }) };
  };
};

/** Does not ask for the next row to learn that it is not wanted: nothing may be wrong with what is not read. */
async function* whileWanted<T>(rows: AsyncIterable<T>, isWanted: () => boolean): AsyncIterable<T> {
  for await (const row of rows) {
    yield row;
    if (!isWanted()) return;
  }
}

/** Without its folder: the same rows in another place are the same decisions. */
function placeOf({ file, line, row }: DataPlace): string {
  return `${basename(file)}${line === undefined ? '' : `:${line}`}${row === undefined ? '' : ` (row ${row})`}`;
}
