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

it('shows no escape sequence to the terminal, of a text, within a list or in the name of a column', () => {
  const found = [{ question: 'a\u001b[31m\u009bred', tags: ['a\u009b31mb'], 'na\u001b[31mme': 1 }];
  const lines = rowLines({ found, positions: [0], rowCount: 1 }, { colors: picocolors.createColors(false), width: 80 });
  expect(lines.slice(1, 4)).toEqual(['  question   a [31m red', '  tags       ["a 31mb"]', '  na [31mme  1']);
});

it('cuts no character in half', () => {
  const found = [{ id: `${'b'.repeat(398)}😀😀` }];
  const shape = { colors: picocolors.createColors(false), width: 1000 };
  expect(rowLines({ found, positions: [0], rowCount: 1 }, shape)[1]).toBe(`  id  ${'b'.repeat(398)}…`);
});

it('says how many rows fit', () => {
  const found = [{ id: 'a' }];
  const shape = { colors: picocolors.createColors(false), width: 80 };
  expect(rowLines({ found, positions: [17], rowCount: 4000, fitting: 1200 }, shape)).toEqual([
    'row 17',
    '  id  a',
    '',
    '1 of 1,200 that fit, of 4,000 rows',
  ]);
});
