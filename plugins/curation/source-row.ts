import type { Row, UserError } from 'simmerkit';
import type { DataPlace } from './data-error.js';

/** A row as a file has it, and where. */
export interface SourceRow {
  readonly row: Row;
  readonly place: DataPlace;
}

/** What stands in the place of a row and is none. */
export interface BrokenRow {
  readonly fault: UserError;
  readonly place: DataPlace;
}
