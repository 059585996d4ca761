import type { Row, TableArtifact } from '../artifacts/artifact.js';
import { UserError } from '../errors.js';

/** Checks that a table has the columns that a stage reads. @throws UserError `missing_column` naming what it has instead */
export function requireColumns(
  table: Pick<TableArtifact, 'columns' | 'uri'>,
  names: readonly string[],
  what: string,
): void {
  const missing = names.filter((name) => !(name in table.columns));
  if (missing.length === 0) return;
  const list = missing.map((name) => `\`${name}\``).join(', ');
  throw new UserError(
    'missing_column',
    `${what} has no column ${list}; it has ${Object.keys(table.columns)
      .map((name) => `\`${name}\``)
      .join(', ')}.`,
    {
      kind: 'runFailed',
      hint: 'Map your field to it where the data is loaded (`fields` of curation/load), or name another column.',
    },
  );
}

/** The text in a cell; null where it is empty. @throws UserError `wrong_column_type` */
export function textIn(row: Row, column: string): string | null {
  const value = row[column];
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  throw new UserError(
    'wrong_column_type',
    `Column \`${column}\` holds ${Array.isArray(value) ? 'a list' : `a ${typeof value}`}, expected text.`,
    {
      kind: 'runFailed',
      hint: 'Load it as text, or name another column.',
    },
  );
}

/** The number in a cell; null where it is empty. @throws UserError `wrong_column_type` */
export function numberIn(row: Row, column: string): number | null {
  const value = row[column];
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  throw new UserError('wrong_column_type', `Column \`${column}\` holds a ${typeof value}, expected a number.`, {
    kind: 'runFailed',
    hint: 'Name a column of numbers.',
  });
}
