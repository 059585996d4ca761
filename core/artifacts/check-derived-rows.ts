import { UserError } from '../errors.js';
import type { DerivedRows, TableArtifact } from './artifact.js';

/**
 * Checks what rows of a table a stage wants, and what beside them, before a table says that it has them.
 * @throws UserError `invalid_derived_rows`
 */
export function checkDerivedRows(
  { rowCount }: Pick<TableArtifact, 'rowCount'>,
  { positions, added }: DerivedRows,
): void {
  if (positions !== undefined) {
    if (!(positions instanceof Uint32Array)) {
      throw invalid('its `positions` are no Uint32Array', 'Make one of an array: `Uint32Array.from(positions)`.');
    }
    const wrong = positions.findIndex((at, index) => at >= rowCount || (index > 0 && at <= positions[index - 1]!));
    if (wrong >= 0) {
      const why = `position ${positions[wrong]} is not after the one before it, or not in the table of ${rowCount} rows`;
      throw invalid(why, 'Positions count from 0, and ascend: each stands once.');
    }
  }
  const taken = positions?.length ?? rowCount;
  if (added !== undefined && added.rows.length !== taken) {
    throw invalid(
      `${added.rows.length} rows of new columns were given for ${taken} rows that are taken`,
      'Give `added.rows` one for each row that is taken, in the order of the positions.',
    );
  }
}

function invalid(why: string, hint: string): UserError {
  return new UserError('invalid_derived_rows', `The table cannot be derived: ${why}.`, { kind: 'runFailed', hint });
}
