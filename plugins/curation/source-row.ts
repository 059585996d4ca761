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

/** Stands in a row for a value that is a decimal number of more digits than can be read, or has such numbers in it. */
export class LongDecimals {}

/** Of a Parquet file, a row has each field, and those within it, of which it may say nothing. */
export function saysSomething(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(saysSomething);
  return value !== undefined && value !== null && !emptyTexts.has(value);
}

const emptyTexts: ReadonlySet<unknown> = new Set(['', '[]', '{}', 'null']);
