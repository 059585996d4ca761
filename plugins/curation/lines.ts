/** Lines of a file, by its bytes. */
export interface LineRange {
  readonly from: number;
  /** Before which byte it ends. */
  readonly to: number;
  /** Number of its first line, from 1. */
  readonly firstLine: number;
}

export const newline = 0x0a;

export function countBreaks(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) count++;
  return count;
}
