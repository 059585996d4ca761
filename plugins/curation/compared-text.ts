import { type Row, textIn } from 'simmerkit';

/** The columns of an option that is one or several. */
export function comparedColumns(column: string | readonly string[]): readonly string[] {
  return typeof column === 'string' ? [column] : column;
}

/** The texts of some columns, one after the other, a line break between them. */
export function comparedText(row: Row, columns: readonly string[]): string {
  return columns.length === 1
    ? (textIn(row, columns[0] as string) ?? '')
    : columns.flatMap((column) => textIn(row, column) ?? []).join('\n');
}
