import { pipeline } from 'node:stream';
import type { CsvError } from 'csv-parse';
import type { UserError } from 'simmerkit';
import { dataError, requireDistinct } from './data-error.js';
import type { BrokenRow, SourceRow } from './source-row.js';
import { unpackedName } from './unpack.js';

interface CsvReading {
  /** Default: what the ending of the name says. */
  readonly delimiter?: string | undefined;
  /** Whether the faults of single rows are given in their places. Default: the first one is thrown. */
  readonly givesFaults?: boolean | undefined;
}

/** What csv-parse tells beside a record, or of an error. */
interface Told {
  /** Of the file so far. */
  readonly empty_lines: number;
  readonly lines: number;
}

type SkippedRecord = CsvError & Told & { readonly record?: readonly string[] };

/** What comes of the parser: a record, or what is wrong with one. */
type Parsed =
  | { readonly record: Readonly<Record<string, string>>; readonly info: Told }
  | { readonly skipped: SkippedRecord };

/** In bytes. Unpacked, a small file may be one field in quotes without end. */
const longestRecord = 2 ** 28;

/** Errors of one record that leave no doubt where the next one begins, as those of quotes do. */
const ofOneRecord = new Set(['CSV_RECORD_INCONSISTENT_COLUMNS', 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH']);

/**
 * The rows of a CSV file, each with the line that it begins on, and its faults where they stand.
 * @throws UserError `malformed_data`, `wrong_delimiter`, `duplicate_column`
 */
export async function* readCsv(
  file: string,
  text: AsyncIterable<string>,
  { delimiter, givesFaults }: CsvReading,
): AsyncIterable<SourceRow | BrokenRow> {
  const { parse } = await import('csv-parse');
  const separator = delimiter ?? (unpackedName(file).endsWith('.tsv') ? '\t' : ',');
  const lines = new RecordLines();
  const isThrown = ({ code }: CsvError) => givesFaults !== true || !ofOneRecord.has(code);
  let isEnding = false;
  const parser = parse({
    skip_records_with_error: true,
    on_skip: (error) => {
      if (isEnding) return;
      isEnding = isThrown(error as SkippedRecord);
      // Among the records, in its place.
      parser.push({ skipped: error as SkippedRecord } satisfies Parsed);
    },
    columns: (header: readonly string[]) => {
      if (delimiter === undefined) refuseOneColumn(header, separator, file);
      lines.pass(header);
      return checkedHeader(header, file);
    },
    delimiter: separator,
    // All of them: what was put together of several files may end its lines in several ways.
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    bom: true,
    skip_empty_lines: true,
    max_record_size: longestRecord,
  });
  /** Of what stands behind a fault that is thrown nothing is read: there may be no sound record that would stop the parser. */
  async function* untilThrown(): AsyncIterable<string> {
    for await (const part of text) {
      yield part;
      if (isEnding) return;
    }
  }
  for await (const one of pipeline(untilThrown(), parser, () => {}) as AsyncIterable<Parsed>) {
    if ('record' in one) {
      yield { row: one.record, place: { file, line: lines.next(one.info, Object.values(one.record)) } };
      continue;
    }
    const { skipped } = one;
    const place = { file, line: lines.next(skipped, skipped.record ?? []) };
    const fault = csvError(skipped, place);
    if (isThrown(skipped)) throw fault;
    yield { fault, place };
  }
}

/** Where records begin. csv-parse tells where they end, and takes a line break of two characters in quotes for two lines. */
class RecordLines {
  /** Lines of what was passed; empty ones between records are counted where the next one begins. */
  private lines = 0;
  private emptyLines = 0;
  private told = 0;

  /** @param fields of a record @returns the line that it begins on, from 1 */
  next({ lines, empty_lines: emptyLines }: Told, fields: readonly string[]): number {
    const empty = emptyLines - this.emptyLines;
    const isOneLine = lines - this.told === 1 + empty;
    this.emptyLines = emptyLines;
    this.told = lines;
    this.lines += empty;
    return this.pass(isOneLine ? [] : fields);
  }

  pass(fields: readonly string[]): number {
    const first = this.lines + 1;
    this.lines = fields.reduce((last, field) => last + (field.match(lineBreak)?.length ?? 0), first);
    return first;
  }
}

const lineBreak = /\r\n|\n|\r/g;

function csvError(error: CsvError, place: { readonly file: string; readonly line: number }): UserError {
  if (error.code === 'CSV_MAX_RECORD_SIZE') {
    const hint = 'Close the quote that is open there, or write a text of that size in parts.';
    return dataError('malformed_data', place, 'this row goes on for more than 256 MB.', hint, error);
  }
  return dataError(
    'malformed_data',
    place,
    // Of the line that is meant the place tells.
    `${error.message.replace(/ (?:at|on) line \d+/, '')}.`,
    'Quote fields that hold commas, quotes or line breaks, and give every row as many fields as the header.',
    error,
  );
}

/** @param separator that was used where the recipe gives none @throws UserError `wrong_delimiter` */
function refuseOneColumn([first = '', ...more]: readonly string[], separator: string, file: string): void {
  const other = [';', '\t', ','].find((one) => one !== separator && first.includes(one));
  if (more.length > 0 || other === undefined) return;
  const [likely, used] = [other, separator].map((one) => `\`delimiter: ${JSON.stringify(one)}\``);
  throw dataError(
    'wrong_delimiter',
    { file, line: 1 },
    `the header is one column, \`${first}\`.`,
    `Set ${likely} of the source; or ${used} where it is one column.`,
  );
}

/** @throws UserError `duplicate_column` */
function checkedHeader(header: readonly string[], file: string): string[] {
  // Spreadsheets leave columns behind that have no name.
  requireDistinct(
    header.filter((name) => name !== ''),
    { file, line: 1 },
  );
  return [...header];
}
