import { formatCounted } from 'simmerkit';
import { dataError } from './data-error.js';
import { columnsFrom, fieldHint, fieldNames, fieldNamesOf } from './field-mapping.js';
import type { Source } from './load-options.js';

/** What was read of a file, or of a part of it, beside its rows. */
export interface ReadPart {
  readonly source: string;
  readonly file: string;
  /** Rows that were read, those that `where` left out included. */
  readonly read: number;
  /** Rows that `where` took, those that were dropped for what they lack included. */
  readonly taken: number;
  readonly kept: number;
  /** Fields that must be there and that none of the taken rows has. */
  readonly absent: readonly string[];
  /** Fields of the first row that was taken. Absent: none was. */
  readonly names?: readonly string[];
  /** How many of the rows that are kept have a field that no stage takes, or a `system` message that no column takes. */
  readonly unused: Readonly<Record<string, number>>;
  /** Of fields beside conversations: how many rows that are kept have each, and how many lack it. */
  readonly beside: {
    readonly had: Readonly<Record<string, number>>;
    readonly lacked: Readonly<Record<string, number>>;
  };
  /** The first that is malformed, where such rows are dropped: its place and what is wrong. */
  readonly fault?: string;
}

/** Puts together what was read of the parts of files. @returns one for each file of a source, in their order */
export function joinParts(parts: readonly ReadPart[]): readonly ReadPart[] {
  const files = new Map<string, ReadPart>();
  for (const part of parts) {
    const key = JSON.stringify([part.source, part.file]);
    const before = files.get(key);
    files.set(key, before === undefined ? part : join(before, part));
  }
  return [...files.values()];
}

function join(before: ReadPart, part: ReadPart): ReadPart {
  return {
    ...part,
    ...before,
    read: before.read + part.read,
    taken: before.taken + part.taken,
    kept: before.kept + part.kept,
    absent: before.absent.filter((field) => part.absent.includes(field)),
    unused: addCounts(before.unused, part.unused),
    beside: {
      had: addCounts(before.beside.had, part.beside.had),
      lacked: addCounts(before.beside.lacked, part.beside.lacked),
    },
  };
}

/** Adds the second counts to the first. */
function addCounts(
  counts: Readonly<Record<string, number>>,
  more: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const sums = { ...counts };
  for (const [name, count] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count;
  return sums;
}

/**
 * A field that no row of a source has is a wrong name, also where rows may be dropped.
 * @param files those of the source
 * @throws UserError `missing_column`
 */
export function requireFields(files: readonly ReadPart[], { fields }: Source): void {
  const [first, ...others] = files.filter(({ names }) => names !== undefined);
  const name = first?.absent.find((field) => others.every(({ absent }) => absent.includes(field)));
  if (first?.names === undefined || name === undefined) return;
  const { file, names } = first;
  const column = Object.keys(fields).find((each) => fieldNamesOf(each, fields[each]).includes(name)) ?? name;
  throw dataError(
    'missing_column',
    { file },
    `no row has the field \`${name}\` for column \`${column}\`; there is ${fieldNames(names)}.`,
    fieldHint(name, names),
  );
}

/** What is to be said of a source that was read. @param files those of the source */
export function warningsOf(source: Source, files: readonly ReadPart[]): readonly string[] {
  const unused = files.map((file) => file.unused).reduce(addCounts, {});
  const had = files.map(({ beside }) => beside.had).reduce(addCounts, {});
  const lacked = files.map(({ beside }) => beside.lacked).reduce(addCounts, {});
  return [
    ...files.filter(({ read }) => read === 0).map(({ file }) => `${file} has no row.`),
    ...Object.entries(unused).map(([field, rows]) => unusedWarning(field, rows)),
    ...Object.entries(lacked)
      .filter(([field]) => field in had)
      .map(([field, rows]) => lackedWarning(field, rows, columnsFrom(field, source))),
  ];
}

/** What becomes of something in rows that are kept. */
function unusedWarning(field: string, rows: number): string {
  const have = `${formatCounted(rows, 'row')} ${rows === 1 ? 'has' : 'have'}`;
  if (field === 'weight')
    return (
      `${have} an earlier reply of another weight than 0 and 1, which \`replies: all\` of curation/format would train ` +
      'as any other.'
    );
  const what = field === 'system' ? 'a system message' : `\`${field}\``;
  const remedies: Readonly<Record<string, string>> = {
    system: ' `history: true` keeps it.',
    tools: ' `layout: chat` takes it.',
  };
  return `${have} ${what}, which is not used: their chats are written without it.${remedies[field] ?? ''}`;
}

function lackedWarning(field: string, rows: number, columns: readonly string[]): string {
  const lack = `${formatCounted(rows, 'row')} ${rows === 1 ? 'lacks' : 'lack'}`;
  const which = columns.map((column) => `\`${column}\``).join(', ');
  return (
    `${lack} the field \`${field}\` that others have: column ${which} has there what the conversation says. ` +
    'Write null where there is none.'
  );
}
