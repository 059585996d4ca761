import { basename } from 'node:path';
import type { Row, StartRows } from 'simmerkit';
import type { DataPlace } from './data-error.js';
import { readRows } from './data-reader.js';
import { columnsToFind, fieldIn, fieldMapper, fieldNamesOf, rowFilter } from './field-mapping.js';
import { idOfQuestion } from './history.js';
import type { Piece } from './load-tasks.js';
import type { LoadOptions } from './options.js';
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
        limit: source.limit ?? Number.POSITIVE_INFINITY,
        delimiter: source.delimiter,
        toFind: columnsToFind(source, options).flatMap((column) => fieldNamesOf(column, source.fields[column])),
      },
    ]),
  );
  return (pieces) => {
    const takenOf = new Map<string, number>();
    const parts: ReadPart[] = [];
    const decisions: (Row & { readonly rule: string })[] = [];
    async function* rows(): AsyncIterable<Row> {
      for (const { source: name, file, format, lines } of pieces) {
        const { mapRow, isTaken, limit, delimiter, toFind } = sources.get(name) as NonNullable<
          ReturnType<typeof sources.get>
        >;
        const left = limit - (takenOf.get(name) ?? 0);
        if (left <= 0) continue;
        let [read, taken, kept] = [0, 0, 0];
        let names: readonly string[] | undefined;
        const absent = new Set(toFind);
        for await (const { row, place } of readRows(file, format, { lines, delimiter })) {
          if (taken >= left) break;
          read++;
          if (!isTaken(row)) continue;
          taken++;
          const mapped = mapRow(row, place);
          if (mapped.from !== undefined) {
            names ??= Object.keys(mapped.from);
            for (const field of absent) {
              if (fieldIn(mapped.from, field) !== undefined) absent.delete(field);
            }
          }
          const { missing } = mapped;
          if (missing === undefined) {
            kept++;
            yield { source: name, ...mapped.row, id: idOfQuestion(mapped.row) };
            continue;
          }
          const id = typeof mapped.row.question === 'string' ? idOfQuestion(mapped.row) : null;
          decisions.push({ id, kept: false, rule: `no_${missing}`, evidence: `${name}: ${placeOf(place)}` });
        }
        takenOf.set(name, taken + (takenOf.get(name) ?? 0));
        const part = { source: name, file, read, taken, kept, absent: [...absent] };
        parts.push(names === undefined ? part : { ...part, names });
      }
    }
    return { rows: rows(), told: () => ({ parts, decisions }) };
  };
};

/** Without its folder: the same rows in another place are the same decisions. */
function placeOf({ file, line, row }: DataPlace): string {
  return `${basename(file)}${line === undefined ? '' : `:${line}`}${row === undefined ? '' : ` (row ${row})`}`;
}
