import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { openScreen } from './screen.js';

/** As much of a terminal as the view uses: cursor up, erase, and lines. */
class Terminal extends EventEmitter {
  readonly columns = 80;
  readonly rows = 24;
  lines: string[] = [''];
  row = 0;
  isCursorShown = true;

  write = (text: string): boolean => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal is made of them
    for (const [token] of text.matchAll(/\u001b\[[?0-9]*[A-Za-z]|\n|[^\u001b\n]+/g)) this.#take(token);
    return true;
  };

  #take(token: string): void {
    if (token === '\n') {
      this.row++;
      this.lines[this.row] ??= '';
    } else if (token === '\u001b[K') {
      // What was written replaced the line from its beginning, and this cuts off the rest of it.
    } else if (token === '\u001b[J') {
      this.lines.length = this.row + 1;
      this.lines[this.row] = '';
    } else if (token.endsWith('F')) {
      this.row = Math.max(0, this.row - Number(token.slice(2, -1)));
    } else if (token === '\u001b[?25l' || token === '\u001b[?25h') {
      this.isCursorShown = token.endsWith('h');
    } else if (!token.startsWith('\u001b')) {
      this.lines[this.row] = token;
    }
  }
}

describe('the view on a terminal', () => {
  it('is drawn over itself, whether it grows or shrinks', () => {
    const terminal = new Terminal();
    terminal.write('before\n');
    const screen = openScreen(terminal as never);
    screen.draw(['a', 'b', 'c']);
    screen.draw(['a', 'b1', 'b2', 'c']);
    expect(terminal.lines).toEqual(['before', 'a', 'b1', 'b2', 'c', '']);
    screen.draw(['a', 'c']);
    expect(terminal.lines).toEqual(['before', 'a', 'c', '']);
  });

  it('leaves kept lines above', () => {
    const terminal = new Terminal();
    const screen = openScreen(terminal as never);
    screen.draw(['a', 'b']);
    screen.keep(['warning']);
    screen.draw(['a2', 'b2']);
    expect(terminal.lines).toEqual(['warning', 'a2', 'b2', '']);
  });

  it('gives way to its last lines, and gives the cursor back', () => {
    const terminal = new Terminal();
    const screen = openScreen(terminal as never);
    screen.draw(['a', 'b', 'c']);
    expect(terminal.isCursorShown).toBe(false);
    screen.leave(['done']);
    expect(terminal.lines).toEqual(['done', '']);
    expect(terminal.isCursorShown).toBe(true);
    expect(terminal.listenerCount('resize')).toBe(0);
  });
});
