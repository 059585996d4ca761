import { UserError } from '../errors.js';
import type { DerivedRows, TableArtifact } from './artifact.js';

/**
 * Checks what rows of a table a stage wants, and what beside them, before a table says that it has them.
 * @throws UserError `invalid_derived_rows`
 */
export function checkDerivedRows(table: Pick<TableArtifact, 'rowCount' | 'columns'>, derived: DerivedRows): void {
  const { positions, columns = [], added } = derived;
  if (positions !== undefined) checkPositions('positions', positions, table.rowCount);
  if (!Array.isArray(columns)) {
    throw invalid(
      'its `columns` are no list of names',
      'Their types are those of the table: give `Object.keys(columns)`.',
    );
  }
  const unknown = columns.find((name) => !Object.hasOwn(table.columns, name));
  if (unknown !== undefined) {
    throw invalid(`it has no column ${unknown}`, `It has ${Object.keys(table.columns).join(', ')}.`);
  }
  if (added === undefined) return;
  const { rows, few } = added;
  if (few !== undefined) checkPositions('added.few.positions', few.positions, table.rowCount);
  const expected = few?.positions.length ?? positions?.length ?? table.rowCount;
  if (typeof rows === 'function' || rows.length === expected) return;
  const [what, each] =
    few === undefined
      ? ['rows that are taken', 'each row that is taken, in the order of the positions']
      : ['positions of few rows', 'each of `added.few.positions`'];
  throw invalid(
    `${rows.length} rows of new columns were given for ${expected} ${what}`,
    `Give \`added.rows\` one for ${each}.`,
  );
}

function checkPositions(name: string, positions: Uint32Array, rowCount: number): void {
  if (!(positions instanceof Uint32Array)) {
    throw invalid(`its \`${name}\` are no Uint32Array`, 'Make one of an array: `Uint32Array.from(positions)`.');
  }
  const wrong = positions.findIndex((at, index) => at >= rowCount || (index > 0 && at <= positions[index - 1]!));
  if (wrong < 0) return;
  const why = `position ${positions[wrong]} is not after the one before it, or not in the table of ${rowCount} rows`;
  throw invalid(why, 'Positions count from 0, and ascend: each stands once.');
}

function invalid(why: string, hint: string): UserError {
  return new UserError('invalid_derived_rows', `The table cannot be derived: ${why}.`, { kind: 'runFailed', hint });
}
