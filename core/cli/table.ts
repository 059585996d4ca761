import stringWidth from 'string-width';

export interface TableOptions {
  /** Columns whose cells stand to the right, from 0. */
  readonly right?: readonly number[];
  /** Put before each line. @default '' */
  readonly indent?: string;
}

/** Rows as lines, each column as wide as its widest cell. Cells may be coloured. */
export function tableLines(rows: readonly (readonly string[])[], options: TableOptions = {}): readonly string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => stringWidth(row[column] ?? ''))),
  );
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const fill = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
      return options.right?.includes(column) ? fill + cell : cell + fill;
    });
    return ((options.indent ?? '') + cells.join('  ')).trimEnd();
  });
}
