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
