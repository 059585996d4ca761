import { UserError } from 'simmerkit';

/** Where in a file of data something is. */
export interface DataPlace {
  readonly file: string;
  /** From 1, where rows are lines. */
  readonly line?: number;
  /** From 1, in characters. */
  readonly column?: number;
  /** From 1, where rows are not lines. */
  readonly row?: number;
}

/** An error in a file of data: one message with the place and what to do. */
export function dataError(code: string, place: DataPlace, message: string, hint: string, cause?: unknown): UserError {
  const { file, line, column, row } = place;
  const where = [
    file,
    ...(line === undefined ? [] : [line]),
    ...(line === undefined || column === undefined ? [] : [column]),
  ];
  const text = `${where.join(':')}${row === undefined ? '' : ` (row ${row})`}: ${message}`;
  return new UserError(code, text, {
    kind: 'runFailed',
    hint,
    ...(cause === undefined ? {} : { cause }),
    problems: [
      { code, message, hint, ...(line === undefined ? {} : { position: { file, line, column: column ?? 1 } }) },
    ],
  });
}

/** Something in a field is of another kind. */
export function wrongType(
  name: string,
  expected: string,
  value: unknown,
  place: DataPlace,
  hint = 'Correct it, or `layout`.',
): Error {
  const found = Array.isArray(value)
    ? 'a list'
    : value === null
      ? 'null'
      : typeof value === 'object'
        ? 'an object'
        : `a ${typeof value}`;
  return dataError('wrong_type', place, `\`${name}\` is ${found}, expected ${expected}.`, hint);
}

/** What should be the turns of a chat is no list of them. */
export function noTurns(name: string, expected: string, value: unknown, place: DataPlace): Error {
  const hint =
    'Write a chat that is one text as a list of messages, or as its JSON text; else correct `layout` or `turns`.';
  return wrongType(name, expected, value, place, typeof value === 'string' ? hint : undefined);
}

/** @throws UserError `half_character` */
export function requireWholeCharacters(text: string, column: string, place: DataPlace): void {
  if (text.isWellFormed()) return;
  throw dataError(
    'half_character',
    place,
    `column \`${column}\` holds half a character (a lone surrogate): "${excerptOfHalf(text)}".`,
    'It was cut in the middle of a character, an emoji for example: mend it, or set `malformed: drop` to leave such rows out.',
  );
}

/** A half of a surrogate pair: JSON can spell it, UTF-8 cannot. */
const lonelySurrogate = /\p{Surrogate}/u;

function excerptOfHalf(text: string): string {
  const at = text.search(lonelySurrogate);
  return `${text.slice(Math.max(0, at - 20), at)}\ufffd${text.slice(at + 1, at + 20)}`;
}

/** @throws UserError `duplicate_column` */
export function requireDistinct(columns: readonly string[], place: DataPlace): void {
  const names = new Set<string>();
  for (const name of columns) {
    if (names.has(name)) {
      const message = `the header has the column \`${name}\` more than once.`;
      throw dataError('duplicate_column', place, message, 'Give each column a name of its own.');
    }
    names.add(name);
  }
}

/** What an operating-system error about a file of data says to its user. */
export function fileError(file: string, error: NodeJS.ErrnoException): Error {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    return dataError(
      'file_missing',
      { file },
      'there is no such file.',
      "Paths are relative to the recipe's folder.",
      error,
    );
  }
  if (error.code === 'EISDIR') {
    return dataError('not_a_file', { file }, 'this is a folder.', 'Name one of its files.', error);
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return dataError('not_readable', { file }, 'it may not be read.', 'Check its permissions.', error);
  }
  return error;
}
