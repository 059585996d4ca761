import { stripVTControlCharacters } from 'node:util';
import sliceAnsi from 'slice-ansi';
import stringWidth from 'string-width';

/** Text of others, made safe to print: one line, no escape sequences, no control characters. */
export function plainLine(text: string): string {
  return (
    stripVTControlCharacters(text)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .trim()
  );
}

/** At most `width` columns wide, the rest cut off with an ellipsis; escape sequences stay whole. */
export function fitted(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  return width <= 1 ? sliceAnsi(text, 0, Math.max(0, width)) : `${sliceAnsi(text, 0, width - 1)}…`;
}

/** Filled up with spaces to `width` columns. */
export function padded(text: string, width: number, side: 'left' | 'right' = 'right'): string {
  const fill = ' '.repeat(Math.max(0, width - stringWidth(text)));
  return side === 'right' ? text + fill : fill + text;
}

export function widthOf(text: string): number {
  return stringWidth(text);
}
