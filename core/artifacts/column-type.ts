import { UserError } from '../errors.js';

/** Integer types by their bounds; all values that JSON can hold exactly. */
const integerBounds: Readonly<Record<string, readonly [number, number]>> = {
  TINYINT: [-(2 ** 7), 2 ** 7 - 1],
  SMALLINT: [-(2 ** 15), 2 ** 15 - 1],
  INTEGER: [-(2 ** 31), 2 ** 31 - 1],
  BIGINT: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  UTINYINT: [0, 2 ** 8 - 1],
  USMALLINT: [0, 2 ** 16 - 1],
  UINTEGER: [0, 2 ** 32 - 1],
  UBIGINT: [0, Number.MAX_SAFE_INTEGER],
};

/** A column's type, parsed. */
export type ColumnType =
  | { readonly kind: 'text' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'number' }
  | {
      readonly kind: 'integer';
      readonly name: string;
      readonly min: number;
      readonly max: number;
      readonly isBig: boolean;
    }
  | { readonly kind: 'list'; readonly of: ColumnType }
  | { readonly kind: 'struct'; readonly fields: Readonly<Record<string, ColumnType>> };

/**
 * Parses the DuckDB types that plain JSON values fit: VARCHAR, BOOLEAN, DOUBLE, the integers up to 64 bits, lists (`TYPE[]`)
 * and structs (`STRUCT(name TYPE, ...)`) of them.
 * @throws UserError `invalid_column_type`
 */
export function parseColumnType(column: string, text: string): ColumnType {
  const parser = new TypeParser(column, text);
  const type = parser.type();
  parser.end();
  return type;
}

/** The type as DuckDB's SQL wants it. */
export function sqlType(type: ColumnType): string {
  switch (type.kind) {
    case 'text':
      return 'VARCHAR';
    case 'boolean':
      return 'BOOLEAN';
    case 'number':
      return 'DOUBLE';
    case 'integer':
      return type.name;
    case 'list':
      return `${sqlType(type.of)}[]`;
    case 'struct':
      return `STRUCT(${Object.entries(type.fields)
        .map(([name, field]) => `${quoteName(name)} ${sqlType(field)}`)
        .join(', ')})`;
  }
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** DuckDB does not tell names apart by case. @throws UserError `invalid_columns` */
export function requireDistinctNames(names: readonly string[], where: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      throw new UserError(
        'invalid_columns',
        `${where} has the name "${name}" twice; upper and lower case are the same.`,
      );
    }
    seen.add(name.toLowerCase());
  }
}

class TypeParser {
  readonly #column: string;
  readonly #text: string;
  readonly #tokens: string[];
  #next = 0;

  constructor(column: string, text: string) {
    this.#column = column;
    this.#text = text;
    this.#tokens = text.match(/"(?:[^"]|"")+"|\w+|\[\]|\S/g) ?? [];
  }

  type(): ColumnType {
    let type = this.#base();
    while (this.#tokens[this.#next] === '[]') {
      this.#next += 1;
      type = { kind: 'list', of: type };
    }
    return type;
  }

  end(): void {
    if (this.#next < this.#tokens.length) throw this.#invalid();
  }

  #base(): ColumnType {
    const name = this.#take().toUpperCase();
    if (name === 'STRUCT') return this.#struct();
    if (name === 'VARCHAR') return { kind: 'text' };
    if (name === 'BOOLEAN') return { kind: 'boolean' };
    if (name === 'DOUBLE') return { kind: 'number' };
    const bounds = integerBounds[name];
    if (bounds === undefined) throw this.#invalid();
    return { kind: 'integer', name, min: bounds[0], max: bounds[1], isBig: name.endsWith('BIGINT') };
  }

  #struct(): ColumnType {
    const fields: [string, ColumnType][] = [];
    this.#expect('(');
    do {
      fields.push([this.#name(), this.type()]);
    } while (this.#tokens[this.#next] === ',' && this.#take());
    this.#expect(')');
    requireDistinctNames(
      fields.map(([name]) => name),
      `The struct in the column "${this.#column}"`,
    );
    return { kind: 'struct', fields: Object.fromEntries(fields) };
  }

  #name(): string {
    const token = this.#take();
    if (token.startsWith('"')) return token.slice(1, -1).replaceAll('""', '"');
    if (!/^\w+$/.test(token)) throw this.#invalid();
    return token;
  }

  #expect(token: string): void {
    if (this.#take() !== token) throw this.#invalid();
  }

  #take(): string {
    const token = this.#tokens[this.#next];
    if (token === undefined) throw this.#invalid();
    this.#next += 1;
    return token;
  }

  #invalid(): UserError {
    return new UserError('invalid_column_type', `The column "${this.#column}" has the unknown type "${this.#text}".`, {
      hint:
        'Known are VARCHAR, BOOLEAN, DOUBLE, TINYINT, SMALLINT, INTEGER, BIGINT, their unsigned forms, and TYPE[] and ' +
        'STRUCT(name TYPE, ...) of them.',
    });
  }
}
