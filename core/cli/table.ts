import stringWidth from 'string-width';
import { wrapText } from '../wrap-text.js';

interface TableOptions {
  /** Columns whose cells stand to the right, from 0. */
  readonly right?: readonly number[];
  /** Put before each line. @default '' */
  readonly indent?: string;
  /** Of the lines: the last column is wrapped to it. @default as wide as the cells are */
  readonly width?: number | undefined;
  /** Columns, from 0, that are left out where lines would be wider: the first of them first. @default none */
  readonly drop?: readonly number[];
}

/** Rows as lines, each column as wide as its widest cell. Cells may be coloured. */
export function tableLines(rows: readonly (readonly string[])[], options: TableOptions = {}): readonly string[] {
  const { right = [], indent = '', width = Number.POSITIVE_INFINITY, drop = [] } = options;
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => stringWidth(row[column] ?? ''))),
  );
  const whole = widths.reduce((sum, one) => sum + one + 2, stringWidth(indent) - 2);
  const [first] = drop;
  if (first !== undefined && whole > width) {
    const others = (list: readonly number[]) =>
      list.filter((column) => column !== first).map((column) => (column > first ? column - 1 : column));
    return tableLines(
      rows.map((row) => row.toSpliced(first, 1)),
      { right: others(right), indent, width, drop: others(drop) },
    );
  }
  const before = whole - (widths.at(-1) ?? 0);
  return rows.flatMap((row) => {
    const cells = row.map((cell, column) => {
      const fill = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
      return right.includes(column) ? fill + cell : cell + fill;
    });
    if (whole <= width) return [(indent + cells.join('  ')).trimEnd()];
    const [start, ...rest] = wrapText(row.at(-1) ?? '', Math.max(20, width - before));
    const line = indent + [...cells.slice(0, -1), start].join('  ');
    return [line, ...rest.map((more) => ' '.repeat(before) + more)].map((one) => one.trimEnd());
  });
}
