import { expect, test } from 'vitest';
import { isUserError, type Problem } from '../errors.js';
import { parseDocument } from './document.js';

function problemsOf(text: string): readonly Problem[] {
  try {
    return parseDocument('r.yaml', text, 'recipe').problems;
  } catch (error) {
    if (isUserError(error)) return error.problems;
    throw error;
  }
}

const column = 'This line does not start where the lines around it do.';
const columnHint = 'Keys of one map start in one column';
const colon = 'There is a second ": " on this line.';
const quotes = 'A reference inside of { } or [ ] must be in quotes.';

test.each([
  ['a reference in a map of one line', `a: { b: \${{ stages.x.y }} }\nc: 1\n`, 1, 9, quotes, `"\${{ stages.x.y }}"`],
  ['a reference in a list of one line', `a: [1, \${{ params.x }}]\nc: 1\n`, 1, 8, quotes, `"\${{ params.x }}"`],
  ['a reference within a text there', `a: { b: c/\${{ params.x }}/d }\n`, 1, 11, quotes, 'the whole value in quotes'],
  ['a reference that does not end', `a: { b: \${{ params.x }\n`, 1, 9, quotes, `"\${{ … }}"`],
  ['no dollar', 'a: {{ stages.x.y }}\n', 1, 4, '{{ stages.x.y }} is no reference.', `"\${{ stages.x.y }}"`],
  ['no dollar in a list', 'a: [{{ params.x }}]\n', 1, 5, '{{ params.x }} is no reference.', `"\${{ params.x }}"`],
  ['a tab', 'a:\n  b:\n\tc: 1\n    d: 2\n  e: 3\n', 3, 1, 'This line is indented with a tab.', 'spaces only'],
  ['a line too far right', `a:\n  with:\n  b: \${{ params.x }}\n    c: [1]\nd: 1\n`, 4, 5, column, columnHint],
  ['a line too far left', 'a:\n    b: 1\n  c: 2\n', 3, 3, column, columnHint],
  ['a colon in a text', 'a: note: this\nb: 1\n', 1, 4, colon, 'quotes: "note: this".'],
  ['a map on the line of its key', 'stages:  base:\n    uses: x\n', 1, 10, colon, 'on a line of its own'],
  ['a colon in a text in a map of one line', 'a: { b: c: d }\n', 1, 9, 'There is one ": " too many', 'quotes'],
  ['a bracket that is not closed', 'a: [1, 2\nb: 3\n', 2, 1, 'A { or [ is not closed.', 'Close it'],
  ['a line with no colon', 'a x\nb: 1\n', 1, 1, 'This line has no key.', 'colon and a space'],
  ['a text that starts with @', 'a: @b\n', 1, 4, 'A text cannot start with @.', 'quotes'],
  ['a backslash in double quotes', 'a: "\\d"\n', 1, 5, 'Invalid escape sequence \\d.', 'written twice'],
])('%s is told once, with what to do', (_, text, line, columnNumber, message, hint) => {
  expect(problemsOf(text)).toEqual([
    expect.objectContaining({
      position: { file: 'r.yaml', line, column: columnNumber },
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    }),
  ]);
});
