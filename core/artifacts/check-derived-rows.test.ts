import { expect, it } from 'vitest';
import { checkDerivedRows } from './check-derived-rows.js';

it.each([
  ['positions that are an array', { positions: [0] }, 'its `positions` are no Uint32Array'],
  ['a position that is not there', { positions: Uint32Array.of(0, 2) }, 'position 2 is not after the one before it'],
  ['a position twice', { positions: Uint32Array.of(1, 1) }, 'or not in the table of 2 rows'],
  ['columns with their types', { columns: { n: 'BIGINT' } }, 'its `columns` are no list of names'],
  ['a column that is not there', { columns: ['n'] }, 'it has no column n'],
  ['few that are not there', { added: { rows: [], few: { positions: [0] } } }, '`added.few.positions` are no Uint32'],
  [
    'fewer rows than few',
    { added: { rows: [], few: { positions: Uint32Array.of(1) } } },
    'for 1 positions of few rows',
  ],
  ['fewer rows of new columns', { added: { columns: { n: 'BIGINT' }, rows: [{ n: 1 }] } }, '1 rows of new columns'],
])('no table is derived from %s', (_, derived, message) => {
  const table = { rowCount: 2, columns: { id: 'VARCHAR' } };
  expect(() => checkDerivedRows(table, derived as never)).toThrow(
    expect.objectContaining({ code: 'invalid_derived_rows', message: expect.stringContaining(message) }),
  );
});
