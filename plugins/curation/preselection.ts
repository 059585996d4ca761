import { type Columns, matchInTime, type Row, textIn, UserError } from 'simmerkit';
import type { SelectOptions } from './options.js';

type Entry = SelectOptions['preselect'][number];

/** Which rows are taken before any are drawn. */
export class Preselection {
  private readonly entries: readonly { readonly isFrom: (row: Row) => boolean; readonly one: Entry }[];
  private readonly matched = new Set<Entry>();

  /**
   * @param columns of the dataset, those included that `equals` names
   * @throws UserError `wrong_column_type` where a value of `equals` cannot stand in its column
   */
  constructor(preselect: readonly Entry[], columns: Columns) {
    for (const { equals } of preselect)
      for (const [column, value] of Object.entries(equals)) requireType(column, columns[column] ?? '', value);
    this.entries = preselect.map((one) => ({
      one,
      isFrom: one.source === undefined ? () => true : sourceTest(new RegExp(one.source)),
    }));
  }

  /** @param length of the row's trace */
  takes(row: Row, length: number): boolean {
    const found = this.entries.filter(
      ({ isFrom, one: { minLength, equals } }) =>
        isFrom(row) &&
        (minLength === undefined || length > minLength) &&
        Object.entries(equals).every(([column, value]) => plain(row[column]) === value),
    );
    for (const { one } of found) this.matched.add(one);
    return found.length > 0;
  }

  /** Indices of the entries by which no row was taken so far. */
  get idle(): readonly number[] {
    return this.entries.flatMap(({ one }, index) => (this.matched.has(one) ? [] : [index]));
  }
}

/** Whether a row's source matches; each source is matched once, for rows have few. */
export function sourceTest(expression: RegExp): (row: Row) => boolean {
  const known = new Map<string, boolean>();
  return (row) => {
    const source = textIn(row, 'source') ?? '';
    const isMatch = known.get(source) ?? matchInTime(expression, source, () => expression.test(source));
    known.set(source, isMatch);
    return isMatch;
  };
}

function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

function requireType(column: string, type: string, value: string | number | boolean): void {
  const held = type === 'VARCHAR' ? 'string' : type === 'BOOLEAN' ? 'boolean' : 'number';
  if (typeof value === held) return;
  const isText = held === 'string';
  throw new UserError(
    'wrong_column_type',
    `\`preselect\` compares column \`${column}\` (${type}) with ${JSON.stringify(value)}, which it never holds.`,
    {
      kind: 'runFailed',
      hint: isText
        ? `Load it as what it is, types: { ${column}: ${typeof value === 'boolean' ? 'BOOLEAN' : 'DOUBLE'} } of curation/load, or compare with the text "${value}".`
        : 'Compare with a value as the column holds them.',
    },
  );
}
