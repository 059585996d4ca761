import { constants, isAscii, isUtf8 } from 'node:buffer';
import { isUserError, parseExactJson, type Row, type UserError } from 'simmerkit';
import { readCsv } from './csv-reader.js';
import { type DataPlace, dataError } from './data-error.js';
import { countBreaks, type LineRange, newline } from './lines.js';
import type { Source } from './load-options.js';
import { readParquet } from './parquet-reader.js';
import { repeatedKey } from './repeated-key.js';
import type { BrokenRow, SourceRow } from './source-row.js';
import { bytesOf, unpackedName } from './unpack.js';

export type Format = Exclude<Source['format'], 'auto'>;

const otherPacking = /\.(bz2|zip|7z|lz4|br|tar|tgz)$/;

/** The format that a file's name says. @throws UserError `unknown_format` */
export function formatOf(file: string): Format {
  const name = unpackedName(file);
  const ending = /\.(jsonl|ndjson|json|csv|tsv|parquet)$/.exec(name)?.[1];
  if (ending === undefined) {
    throw dataError(
      'unknown_format',
      { file },
      'the ending of its name says no format.',
      otherPacking.test(name)
        ? 'Unpack it first, or pack it as .gz, .zst or .xz.'
        : 'Set `format` of the source to jsonl, json, csv or parquet.',
    );
  }
  if (ending === 'tsv') return 'csv';
  return ending === 'ndjson' ? 'jsonl' : (ending as Format);
}

/** How a file is read. */
interface Reading {
  /** Of JSONL: only these. */
  readonly lines?: LineRange | undefined;
  /** Of Parquet: whether a column is looked at; another one is null. */
  readonly isRead: (column: string) => boolean;
  /** Of CSV. Default: what the ending of the name says. */
  readonly delimiter?: string | undefined;
  /** Whether the faults of single rows are given in their places. Default: the first one is thrown. */
  readonly givesFaults?: boolean | undefined;
}

/** The rows of a file, one after the other. @throws UserError naming file, line and column where it is not what it should be */
export async function* readRows(file: string, format: Format, how: Reading): AsyncIterable<SourceRow | BrokenRow> {
  switch (format) {
    case 'jsonl':
      return yield* readJsonLines(file, how);
    case 'json':
      return yield* readJson(file, how);
    case 'csv':
      return yield* readCsv(file, textOf(file), how);
    case 'parquet':
      return yield* readParquet(file, how.isRead);
  }
}

/** The row that is there, or its fault. */
function rowOrFault(place: DataPlace, read: () => unknown, { givesFaults }: Reading): SourceRow | BrokenRow {
  try {
    return { row: asRow(read(), place), place };
  } catch (error) {
    if (givesFaults && isUserError(error)) return { fault: error, place };
    throw error;
  }
}

async function* readJsonLines(file: string, how: Reading): AsyncIterable<SourceRow | BrokenRow> {
  let line = (how.lines?.firstLine ?? 1) - 1;
  for await (const texts of linesOf(file, how)) {
    for (const text of texts) {
      line++;
      const place = { file, line };
      if (typeof text !== 'string') yield { fault: text, place };
      else if (text.trim() !== '') {
        yield rowOrFault(place, () => parseJson(text, (position) => ({ ...place, column: position + 1 }), true), how);
      }
    }
  }
}

/** Of a list, each of its objects; another file is one object, as folders of small files have them. */
async function* readJson(file: string, how: Reading): AsyncIterable<SourceRow | BrokenRow> {
  const parts: string[] = [];
  let characters = 0;
  for await (const part of textOf(file)) {
    parts.push(part);
    characters += part.length;
    if (characters > constants.MAX_STRING_LENGTH) {
      const hint = 'Write its rows one a line, as JSONL: such a file may be of any size.';
      throw dataError(
        'malformed_data',
        { file },
        'it has more than 500 million characters, and is read as a whole.',
        hint,
      );
    }
  }
  const text = parts.join('');
  const placeAt = (position: number) => {
    const before = text.slice(0, position).split('\n');
    return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
  };
  const isList = text.trimStart().startsWith('[');
  const parse = () => parseJson(text, placeAt, !isList);
  if (!isList) refuseLines(text, file);
  const content = isList ? parse() : undefined;
  if (!Array.isArray(content)) return yield rowOrFault({ file }, parse, how);
  for (const [index, value] of content.entries()) {
    yield rowOrFault({ file, row: index + 1 }, () => value, how);
  }
}

/** @throws UserError `wrong_format` where the first line is a row by itself */
function refuseLines(text: string, file: string): void {
  const lineBreak = text.indexOf('\n');
  if (lineBreak < 0 || text.slice(lineBreak).trim() === '') return;
  try {
    JSON.parse(text.slice(0, lineBreak));
  } catch {
    return;
  }
  const hint = 'Set `format: jsonl` of the source, or name the file .jsonl.';
  throw dataError('wrong_format', { file }, 'its rows stand one a line, as in JSONL.', hint);
}

/** In bytes. Unpacked, a small file may be one line without end. */
const longestLine = 2 ** 28;

/**
 * The lines of a file, unpacked, those of a megabyte or so at a time. Each becomes text by itself: a character beyond
 * Latin-1 makes twice the work of the line that it stands in, and not of those around it.
 * @throws UserError `not_utf8`, `file_missing`, `malformed_data`
 */
async function* linesOf(
  file: string,
  { lines: range, givesFaults }: Reading,
): AsyncIterable<Iterable<string | UserError>> {
  let line = range?.firstLine ?? 1;
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const bytes of bytesOf(file, range)) {
    const end = bytes.lastIndexOf(newline) + 1;
    if (end > 0) {
      const whole = joined([...begun, bytes.subarray(0, end)]);
      yield textsOf(file, line, whole, givesFaults);
      line += countBreaks(whole);
      begun = [];
      begunBytes = 0;
    }
    if (end < bytes.length) begun.push(bytes.subarray(end));
    begunBytes += bytes.length - end;
    if (begunBytes > longestLine) throw lineTooLong(file, line);
  }
  if (begun.length > 0) yield textsOf(file, line, joined(begun), givesFaults);
}

function lineTooLong(file: string, line: number): UserError {
  return dataError(
    'malformed_data',
    { file, line },
    'this line goes on for more than 256 MB.',
    'Write each row on a line of its own, and a text of that size in parts.',
  );
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** @param firstLine number of the line that `bytes` begin with */
function* textsOf(
  file: string,
  firstLine: number,
  bytes: Buffer,
  givesFaults: boolean | undefined,
): Iterable<string | UserError> {
  const isSound = isUtf8(bytes);
  if (!isSound && firstLine === 1 && isUtf16(bytes)) throw notUtf8(file, firstLine, bytes);
  let line = firstLine;
  const hasMark = firstLine === 1 && bytes.subarray(0, byteOrderMark.length).equals(byteOrderMark);
  for (let start = hasMark ? byteOrderMark.length : 0; start < bytes.length; ) {
    const lineBreak = bytes.indexOf(newline, start);
    const end = lineBreak < 0 ? bytes.length : lineBreak;
    const part = bytes.subarray(start, end);
    if (isSound || isUtf8(part)) yield part.toString(isAscii(part) ? 'latin1' : 'utf8');
    else if (givesFaults) yield notUtf8(file, line, part);
    // Not before the lines that are sound: a source with a limit may want no more.
    else throw notUtf8(file, line, part);
    start = end + 1;
    line++;
  }
}

const byteOrderMark = Buffer.from('\ufeff');

/** The text of a file, unpacked. @throws UserError `not_utf8`, `file_missing`, `malformed_data` */
async function* textOf(file: string): AsyncIterable<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const bytes of bytesOf(file)) {
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: true });
    } catch (error) {
      throw notUtf8(file, line, joined([...begun, bytes]), error);
    }
    yield text;
    const start = bytes.lastIndexOf(newline) + 1;
    if (start > 0) {
      line += countBreaks(bytes);
      begun = [];
      begunBytes = 0;
    }
    begun.push(bytes.subarray(start));
    begunBytes += bytes.length - start;
    if (begunBytes > longestLine) throw lineTooLong(file, line);
  }
  try {
    yield decoder.decode();
  } catch (error) {
    throw notUtf8(file, line, joined(begun), error);
  }
}

/** Whether a file that begins so is marked as UTF-16. */
function isUtf16(bytes: Buffer): boolean {
  const mark = bytes.toString('hex', 0, 2);
  return mark === 'fffe' || mark === 'feff';
}

/** `bytes` begin with the line that has this number. */
function notUtf8(file: string, firstLine: number, bytes: Buffer, cause?: unknown): UserError {
  if (firstLine === 1 && isUtf16(bytes)) {
    return dataError(
      'not_utf8',
      { file },
      'this is UTF-16 text.',
      `Convert the file first: iconv -f utf-16 -t utf-8 ${file}`,
      cause,
    );
  }
  // Decoded leniently, the first thing that is not UTF-8 is the first replacement character.
  const before = bytes.toString('utf8').split('\ufffd', 1)[0] ?? '';
  const lines = before.split('\n');
  const place = { file, line: firstLine + lines.length - 1, column: (lines.at(-1)?.length ?? 0) + 1 };
  return dataError(
    'not_utf8',
    place,
    'this is not UTF-8 text.',
    `Convert the file first: iconv -f latin1 -t utf8 ${file}`,
    cause,
  );
}

const orDrop = 'set `malformed: drop` to leave such rows out.';

/** @param mayGo whether `malformed: drop` leaves it out @throws UserError `malformed_data`, `repeated_key` */
function parseJson(text: string, placeAt: (position: number) => DataPlace, mayGo: boolean): unknown {
  const remedy = mayGo ? `, or ${orDrop}` : '.';
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch (error) {
    const message = (error as Error).message;
    const position = /at position (\d+)/.exec(message)?.[1];
    const at = position === undefined ? (message.includes('end of JSON') ? text.length : 0) : Number(position);
    const hint = `Mend or remove it${remedy}`;
    throw dataError('malformed_data', placeAt(at), `this is not JSON: ${message}.`, hint, error);
  }
  const repeated = repeatedKey(text, value);
  if (repeated === undefined) return value;
  const message = `the key ${JSON.stringify(repeated.key)} stands twice in one object.`;
  throw dataError('repeated_key', placeAt(repeated.position), message, `Give each value a key of its own${remedy}`);
}

function asRow(value: unknown, place: DataPlace): Row {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  const what = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
  throw dataError(
    'malformed_data',
    place,
    `a row is an object, and this is ${what}.`,
    `Write {"question": ...} for each row, or ${orDrop}`,
  );
}
