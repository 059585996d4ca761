import type { WriteStream } from 'node:tty';
import { widthOf } from './terminal-text.js';

/** A view at the bottom of the terminal that is drawn over itself; what was printed above it stays. */
interface Screen {
  /** Lines must be narrower than the terminal, and fewer than it has rows. */
  draw(lines: readonly string[]): void;
  /** Prints lines above the view, where they stay. */
  keep(lines: readonly string[]): void;
  /** Takes the view away, prints these lines in its place and gives the cursor back. May be called again. */
  leave(lines: readonly string[]): void;
}

const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const eraseToLineEnd = '\u001b[K';
const eraseBelow = '\u001b[J';
/** Terminals that know it show everything between the two at once; the others ignore it. */
const beginUpdate = '\u001b[?2026h';
const endUpdate = '\u001b[?2026l';

/**
 * Opens the view. Own code where log-update would do: that (7.2) writes only the lines that differ, and leaves stale ones
 * behind where a line came in between; here each line is written over the old one. Nothing is erased first, so that
 * nothing flickers, and so that no terminal puts a view that fills it into its history.
 */
export function openScreen(stream: Pick<WriteStream, 'write' | 'columns' | 'rows' | 'on' | 'off'>): Screen {
  let shown: readonly string[] = [];
  let isHidden = false;
  const giveCursorBack = () => {
    if (isHidden) stream.write(showCursor);
    isHidden = false;
  };
  /** To the view's first line. The cursor rests below its last one. */
  const upTo = (rows: number) => (rows === 0 ? '' : `\u001b[${rows}F`);
  const write = (lines: readonly string[]) => lines.map((line) => `${line}${eraseToLineEnd}\n`).join('');
  // A terminal that became narrower has broken the view's lines into more of them: take away as many as there are now.
  const onResize = () => {
    const columns = Math.max(1, stream.columns);
    const rows = shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);
    stream.write(upTo(Math.min(rows, stream.rows - 1)) + eraseBelow);
    shown = [];
  };
  stream.on('resize', onResize);
  process.on('exit', giveCursorBack);
  return {
    draw(lines) {
      stream.write(
        beginUpdate + (isHidden ? '' : hideCursor) + upTo(shown.length) + write(lines) + eraseBelow + endUpdate,
      );
      isHidden = true;
      shown = lines;
    },
    keep(lines) {
      stream.write(beginUpdate + upTo(shown.length) + write([...lines, ...shown]) + eraseBelow + endUpdate);
    },
    leave(lines) {
      stream.write(upTo(shown.length) + write(lines) + eraseBelow);
      shown = [];
      stream.off('resize', onResize);
      process.off('exit', giveCursorBack);
      giveCursorBack();
    },
  };
}
