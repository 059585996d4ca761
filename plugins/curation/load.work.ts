import { basename } from 'node:path';
import type { Row, StartRows } from 'simmerkit';
import type { DataPlace } from './data-error.js';
import { readRows } from './data-reader.js';
import { fieldMapper, rowFilter } from './field-mapping.js';
import type { Piece } from './load-tasks.js';
import type { LoadOptions } from './options.js';
import { problemId } from './problem-id.js';

/** What was read of some pieces, beside the rows. */
export interface Loaded {
  /** Rows by their source, those that were dropped for what they lack included. */
  readonly taken: ReadonlyMap<string, number>;
  /** Rows by their source, those that `where` left out included. */
  readonly read: ReadonlyMap<string, number>;
  /** Of the rows that were dropped. */
  readonly decisions: readonly (Row & { readonly rule: string })[];
}

/** Reads pieces of files, and maps their rows to columns. */
export const start: StartRows<LoadOptions, readonly Piece[], Loaded> = (options) => {
  const sources = new Map(
    Object.entries(options.sources).map(([name, source]) => [
      name,
      { mapRow: fieldMapper(source, options), isTaken: rowFilter(source), limit: source.limit },
    ]),
  );
  return (pieces) => {
    const taken = new Map<string, number>();
    const read = new Map<string, number>();
    const decisions: (Row & { readonly rule: string })[] = [];
    async function* rows(): AsyncIterable<Row> {
      for (const { source: name, file, format, lines } of pieces) {
        const {
          mapRow,
          isTaken,
          limit = Number.POSITIVE_INFINITY,
        } = sources.get(name) as NonNullable<ReturnType<typeof sources.get>>;
        let count = taken.get(name) ?? 0;
        let seen = read.get(name) ?? 0;
        for await (const { row, place } of readRows(file, format, lines)) {
          if (count >= limit) break;
          seen++;
          if (!isTaken(row)) continue;
          count++;
          const mapped = mapRow(row, place);
          if ('row' in mapped) {
            yield { source: name, ...mapped.row, id: problemId(String(mapped.row.question ?? '')) };
            continue;
          }
          const { missing, question } = mapped;
          const id = typeof question === 'string' ? problemId(question) : null;
          decisions.push({ id, kept: false, rule: `no_${missing}`, evidence: `${name}: ${placeOf(place)}` });
        }
        taken.set(name, count);
        read.set(name, seen);
      }
    }
    return { rows: rows(), told: () => ({ taken, read, decisions }) };
  };
};

/** Without its folder: the same rows in another place are the same decisions. */
function placeOf({ file, line, row }: DataPlace): string {
  return `${basename(file)}${line === undefined ? '' : `:${line}`}${row === undefined ? '' : ` (row ${row})`}`;
}
