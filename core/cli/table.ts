import stringWidth from 'string-width';
import { wrapText } from '../wrap-text.js';

interface TableOptions {
  /** Columns whose cells stand to the right, from 0. */
  readonly right?: readonly number[];
  /** Put before each line. @default '' */
  readonly indent?: string;
  /** Of the lines: the last column is wrapped to it. @default as wide as the cells are */
  readonly width?: number;
}

/** Rows as lines, each column as wide as its widest cell. Cells may be coloured. */
export function tableLines(rows: readonly (readonly string[])[], options: TableOptions = {}): readonly string[] {
  const { right = [], indent = '', width = Number.POSITIVE_INFINITY } = options;
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => stringWidth(row[column] ?? ''))),
  );
  const before = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, stringWidth(indent));
  return rows.flatMap((row) => {
    const cells = row.map((cell, column) => {
      const fill = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
      return right.includes(column) ? fill + cell : cell + fill;
    });
    if (width === Number.POSITIVE_INFINITY) return [(indent + cells.join('  ')).trimEnd()];
    const [first, ...rest] = wrapText(row.at(-1) ?? '', Math.max(20, width - before));
    const line = indent + [...cells.slice(0, -1), first].join('  ');
    return [line, ...rest.map((more) => ' '.repeat(before) + more)].map((one) => one.trimEnd());
  });
}
