import { type Message, type Row, textIn } from 'simmerkit';

/** The columns of an option that is one or several. */
export function comparedColumns(column: string | readonly string[]): readonly string[] {
  return typeof column === 'string' ? [column] : column;
}

/** The texts of some columns, one after the other, a line break between them. */
export function comparedText(row: Row, columns: readonly string[]): string {
  return columns.length === 1
    ? (cellText(row, columns[0] as string) ?? '')
    : columns.flatMap((column) => cellText(row, column) ?? []).join('\n');
}

/**
 * Stands between columns: two first halves of characters, which no text of a table has beside each other. One alone is
 * part of characters, such as Gothic letters.
 */
export const columnBreak = '\ud800\ud800';

/** As `comparedText`, of which each column can be told: one that is empty stands there, too. */
export function columnTexts(row: Row, columns: readonly string[]): string {
  return columns.map((column) => cellText(row, column) ?? '').join(columnBreak);
}

/** What `columnTexts` made, for its words: as in `comparedText`, a line break stands between columns. */
export function runningText(texts: string): string {
  return texts.replaceAll(columnBreak, '\n');
}

/** The text in a cell; of a history that of all its messages. @throws UserError as `textIn` */
function cellText(row: Row, column: string): string | null {
  const value = row[column];
  return column === 'history' && Array.isArray(value)
    ? (value as readonly Message[]).map(({ content }) => content).join('\n')
    : textIn(row, column);
}

let scratch = new Uint8Array(65_536);

/** As `comparedText`, of a row whose texts are their UTF-8. @returns a view that the next call overwrites */
export function comparedBytes(row: Row, columns: readonly string[]): Uint8Array {
  let used = 0;
  for (const column of columns) {
    const value = row[column];
    const bytes = value instanceof Uint8Array ? value : bytesOf(cellText(row, column));
    if (bytes === undefined) continue;
    const end = used + bytes.length + 1;
    if (end > scratch.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(scratch.subarray(0, used));
      scratch = larger;
    }
    scratch.set(bytes, used);
    scratch[end - 1] = lineBreak;
    used = end;
  }
  return scratch.subarray(0, Math.max(0, used - 1));
}

const lineBreak = 0x0a;

/** Of a column that is no text. */
function bytesOf(value: string | null): Uint8Array | undefined {
  return value === null ? undefined : Buffer.from(value);
}
