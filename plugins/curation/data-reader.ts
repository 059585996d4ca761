import { isAscii, isUtf8 } from 'node:buffer';
import { pipeline } from 'node:stream';
import type { Row } from 'simmerkit';
import { type DataPlace, dataError, requireDistinct } from './data-error.js';
import { countBreaks, type LineRange, newline } from './lines.js';
import type { Source } from './options.js';
import { readParquet } from './parquet-reader.js';
import { bytesOf, unpackedName } from './unpack.js';

/** A row as a file has it, and where. */
export interface SourceRow {
  readonly row: Row;
  readonly place: DataPlace;
}

export type Format = Exclude<Source['format'], 'auto'>;

/** The format that a file's name says. @throws UserError `unknown_format` */
export function formatOf(file: string): Format {
  const name = unpackedName(file);
  const ending = /\.(jsonl|ndjson|json|csv|tsv|parquet)$/.exec(name)?.[1];
  if (ending === undefined) {
    throw dataError(
      'unknown_format',
      { file },
      'the ending of its name says no format.',
      'Set `format` of the source to jsonl, json, csv or parquet.',
    );
  }
  if (ending === 'tsv') return 'csv';
  return ending === 'ndjson' ? 'jsonl' : (ending as Format);
}

/** How a file is read. */
export interface Reading {
  /** Of JSONL: only these. */
  readonly lines?: LineRange | undefined;
  /** Of CSV. Default: what the ending of the name says. */
  readonly delimiter?: string | undefined;
}

/** The rows of a file, one after the other. @throws UserError naming file, line and column where it is not what it should be */
export async function* readRows(file: string, format: Format, how: Reading): AsyncIterable<SourceRow> {
  switch (format) {
    case 'jsonl':
      return yield* readJsonLines(file, how.lines);
    case 'json':
      return yield* readJson(file);
    case 'csv':
      return yield* readCsv(file, how.delimiter);
    case 'parquet':
      return yield* readParquet(file);
  }
}

async function* readJsonLines(file: string, lines: LineRange | undefined): AsyncIterable<SourceRow> {
  let line = (lines?.firstLine ?? 1) - 1;
  for await (const texts of linesOf(file, lines)) {
    for (const text of texts) {
      line++;
      if (text.trim() === '') continue;
      const place = { file, line };
      const value = parseJson(text, (position) => ({ ...place, column: position + 1 }));
      yield { row: asRow(value, place), place };
    }
  }
}

async function* readJson(file: string): AsyncIterable<SourceRow> {
  const parts: string[] = [];
  for await (const part of textOf(file)) parts.push(part);
  const text = parts.join('');
  const content = parseJson(text, (position) => {
    const before = text.slice(0, position).split('\n');
    return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
  });
  if (!Array.isArray(content)) {
    throw dataError(
      'malformed_data',
      { file },
      'a JSON file of data is a list of objects, and this is not a list.',
      'Write one object a line and name the file .jsonl, or put the rows into one list.',
    );
  }
  for (const [index, value] of content.entries()) {
    const place = { file, row: index + 1 };
    yield { row: asRow(value, place), place };
  }
}

async function* readCsv(file: string, delimiter: string | undefined): AsyncIterable<SourceRow> {
  const { CsvError, parse } = await import('csv-parse');
  const separator = delimiter ?? (unpackedName(file).endsWith('.tsv') ? '\t' : ',');
  const columns = (header: readonly string[]) => {
    if (delimiter === undefined) refuseOneColumn(header, separator, file);
    return checkedHeader(header, file);
  };
  const parser = parse({
    columns,
    delimiter: separator,
    // All of them: what was put together of several files may end its lines in several ways.
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    bom: true,
    skip_empty_lines: true,
  });
  const source = pipeline(textOf(file), parser, () => {});
  try {
    for await (const record of source) {
      const { record: row, info } = record as { readonly record: Row; readonly info: { readonly lines: number } };
      yield { row, place: { file, line: info.lines } };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const { lines, message } = error as Error & { readonly lines?: number };
    throw dataError(
      'malformed_data',
      { file, ...(lines === undefined ? {} : { line: lines }) },
      `${message}.`,
      'Quote fields that hold commas, quotes or line breaks, and give every row as many fields as the header.',
      error,
    );
  }
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

/** In bytes. Unpacked, a small file may be one line without end. */
const longestLine = 2 ** 28;

/**
 * The lines of a file, unpacked, those of a megabyte or so at a time. Each becomes text by itself: a character beyond
 * Latin-1 makes twice the work of the line that it stands in, and not of those around it.
 * @throws UserError `not_utf8`, `file_missing`, `malformed_data`
 */
async function* linesOf(file: string, range: LineRange | undefined): AsyncIterable<Iterable<string>> {
  let line = range?.firstLine ?? 1;
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const bytes of bytesOf(file, range)) {
    const end = bytes.lastIndexOf(newline) + 1;
    if (end > 0) {
      const whole = joined([...begun, bytes.subarray(0, end)]);
      yield textsOf(file, line, whole);
      line += countBreaks(whole);
      begun = [];
      begunBytes = 0;
    }
    if (end < bytes.length) begun.push(bytes.subarray(end));
    begunBytes += bytes.length - end;
    if (begunBytes > longestLine) {
      throw dataError(
        'malformed_data',
        { file, line },
        'this line goes on for more than 256 MB.',
        'Write each row on a line of its own, and a text of that size in parts.',
      );
    }
  }
  if (begun.length > 0) yield textsOf(file, line, joined(begun));
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** @param firstLine number of the line that `bytes` begin with */
function* textsOf(file: string, firstLine: number, bytes: Buffer): Iterable<string> {
  if (!isUtf8(bytes)) throw notUtf8(file, firstLine, bytes);
  const hasMark = firstLine === 1 && bytes.subarray(0, byteOrderMark.length).equals(byteOrderMark);
  for (let start = hasMark ? byteOrderMark.length : 0; start < bytes.length; ) {
    const lineBreak = bytes.indexOf(newline, start);
    const end = lineBreak < 0 ? bytes.length : lineBreak;
    const encoding = isAscii(bytes.subarray(start, end)) ? 'latin1' : 'utf8';
    yield bytes.toString(encoding, start, end);
    start = end + 1;
  }
}

const byteOrderMark = Buffer.from('\ufeff');

/** The text of a file, unpacked. @throws UserError `not_utf8`, `file_missing`, `malformed_data` */
async function* textOf(file: string): AsyncIterable<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  let lineStart: Buffer = Buffer.alloc(0);
  for await (const bytes of bytesOf(file)) {
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: true });
    } catch (error) {
      throw notUtf8(file, line, Buffer.concat([lineStart, bytes]), error);
    }
    yield text;
    const lastBreak = bytes.lastIndexOf(newline);
    if (lastBreak >= 0) line += countBreaks(bytes);
    lineStart = lastBreak < 0 ? Buffer.concat([lineStart, bytes]) : bytes.subarray(lastBreak + 1);
  }
  try {
    yield decoder.decode();
  } catch (error) {
    throw notUtf8(file, line, lineStart, error);
  }
}

/** `bytes` begin with the line that has this number. */
function notUtf8(file: string, firstLine: number, bytes: Buffer, cause?: unknown): Error {
  const mark = firstLine === 1 ? bytes.toString('hex', 0, 2) : '';
  if (mark === 'fffe' || mark === 'feff') {
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

/** What is escaped in a string, where a string begins or ends, and numbers. */
const jsonPart = /\\.|"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Whether a number is among the values that may have lost digits. To look for it in the text would take longer than to parse that. */
function hasLongInteger(value: unknown): boolean {
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one === 'number' && Number.isInteger(one) && !Number.isSafeInteger(one)) return true;
    if (typeof one === 'object' && one !== null) for (const inner of Object.values(one)) left.push(inner);
  }
  return false;
}

/** JSON in which integers beyond 2^53, which would lose their last digits, are texts. */
function withExactIntegers(json: string): string {
  let isInString = false;
  return json.replace(jsonPart, (part) => {
    if (part === '"') isInString = !isInString;
    return isInString || !/^-?\d+$/.test(part) || Number.isSafeInteger(Number(part)) ? part : `"${part}"`;
  });
}

function parseJson(text: string, placeAt: (position: number) => DataPlace): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return hasLongInteger(value) ? JSON.parse(withExactIntegers(text)) : value;
  } catch (error) {
    const message = (error as Error).message;
    const position = /at position (\d+)/.exec(message)?.[1];
    const at = position === undefined ? (message.includes('end of JSON') ? text.length : 0) : Number(position);
    throw dataError('malformed_data', placeAt(at), `this is not JSON: ${message}.`, 'Mend or remove it.', error);
  }
}

function asRow(value: unknown, place: DataPlace): Row {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  const what = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
  throw dataError(
    'malformed_data',
    place,
    `a row is an object, and this is ${what}.`,
    'Write {"question": ...} for each row.',
  );
}
