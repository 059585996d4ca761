import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import { rowLines } from './rows.js';

it('rows have a line a column, with long texts cut', () => {
  const found = [{ id: 'a', question: 'What?\nNow.', tags: ['x'], right: null }, { id: 'b'.repeat(500) }];
  const lines = rowLines(
    { found, positions: [0, 17], rowCount: 4000 },
    { colors: picocolors.createColors(false), width: 1000 },
  );
  expect(lines).toEqual([
    'row 0',
    '  id        a',
    '  question  What? Now.',
    '  tags      ["x"]',
    '  right     null',
    '',
    'row 17',
    `  id  ${'b'.repeat(399)}…`,
    '',
    '2 of 4,000 rows',
  ]);
});

it('shows no escape sequence of a text to the terminal', () => {
  const found = [{ question: 'a\u001b[31m\u009bred' }];
  const lines = rowLines({ found, positions: [0], rowCount: 1 }, { colors: picocolors.createColors(false), width: 80 });
  expect(lines).toContain('  question  a [31m red');
});
