import type { DuckDBValue } from '@duckdb/node-api';
import { UserError } from '../errors.js';
import type { Row } from './artifact.js';
import type { ColumnType } from './column-type.js';

/** The parts of `@duckdb/node-api` that make values; the caller has loaded it. */
type ValueFactory = Pick<typeof import('@duckdb/node-api'), 'listValue' | 'structValue'>;

/** Turns rows into values of declared columns, and refuses what does not fit them. */
export class RowConverter {
  readonly #columns: readonly (readonly [string, ColumnType])[];
  readonly #names: ReadonlySet<string>;
  readonly #make: ValueFactory;

  constructor(columns: Readonly<Record<string, ColumnType>>, make: ValueFactory) {
    this.#columns = Object.entries(columns);
    this.#names = new Set(Object.keys(columns));
    this.#make = make;
  }

  /** @param rowNumber from 1 @throws UserError `row_does_not_fit`, naming row and column */
  values(row: Row, rowNumber: number): DuckDBValue[] {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) {
      throw refused(rowNumber, `it is ${describe(row)}, where an object with the columns is expected`);
    }
    for (const name of Object.keys(row)) {
      if (this.#names.has(name)) continue;
      throw doesNotFit(rowNumber, name, `which is none of the declared columns ${[...this.#names].join(', ')}`);
    }
    return this.#columns.map(([name, type]) => {
      const value = Object.hasOwn(row, name) ? row[name] : null;
      return this.#value(type, value, { rowNumber, path: name });
    });
  }

  #value(type: ColumnType, value: unknown, at: Place): DuckDBValue {
    if (value === null || value === undefined) return null;
    switch (type.kind) {
      case 'text':
        if (typeof value !== 'string') throw mismatch(at, 'text', value);
        // UTF-8 cannot hold half a surrogate pair: it would be lost in silence.
        if (!value.isWellFormed())
          throw doesNotFit(at.rowNumber, at.path, 'which holds half a character (a lone surrogate)');
        return value;
      case 'boolean':
        if (typeof value !== 'boolean') throw mismatch(at, 'true or false', value);
        return value;
      case 'number':
        if (typeof value !== 'number' || !Number.isFinite(value)) throw mismatch(at, 'a finite number', value);
        return value;
      case 'integer':
        if (!Number.isInteger(value) || (value as number) < type.min || (value as number) > type.max) {
          throw mismatch(at, `an integer (${type.name})`, value);
        }
        return type.isBig ? BigInt(value as number) : (value as number);
      case 'list':
        if (!Array.isArray(value)) throw mismatch(at, 'a list', value);
        return this.#make.listValue(
          value.map((item, index) => this.#value(type.of, item, { ...at, path: `${at.path}[${index}]` })),
        );
      case 'struct':
        return this.#struct(type.fields, value, at);
    }
  }

  #struct(fields: Readonly<Record<string, ColumnType>>, value: unknown, at: Place): DuckDBValue {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(at, 'an object', value);
    for (const name of Object.keys(value)) {
      if (Object.hasOwn(fields, name)) continue;
      const declared = Object.keys(fields).join(', ');
      throw doesNotFit(at.rowNumber, `${at.path}.${name}`, `which is none of the declared fields ${declared}`);
    }
    const entries = Object.entries(fields).map(([name, type]) => {
      const inner: unknown = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : null;
      return [name, this.#value(type, inner, { ...at, path: `${at.path}.${name}` })] as const;
    });
    return this.#make.structValue(Object.fromEntries(entries));
  }
}

interface Place {
  readonly rowNumber: number;
  readonly path: string;
}

function mismatch(at: Place, expected: string, value: unknown): UserError {
  return doesNotFit(at.rowNumber, at.path, `where ${expected} is expected and ${describe(value)} was found`);
}

function doesNotFit(rowNumber: number, path: string, why: string): UserError {
  return refused(rowNumber, `column "${path}", ${why}`);
}

function refused(rowNumber: number, why: string): UserError {
  return new UserError('row_does_not_fit', `Row ${rowNumber} does not fit the table: ${why}.`, {
    kind: 'runFailed',
    hint: 'Give each row the declared columns with values of their types; null is allowed in all of them.',
  });
}

function describe(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
