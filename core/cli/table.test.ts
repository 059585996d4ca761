import { describe, expect, it } from 'vitest';
import { tableLines } from './table.js';

describe('a table', () => {
  it('makes columns as wide as their widest cell, by what is seen of it', () => {
    const rows = [
      ['a', '\u001b[32m漢字\u001b[39m', '1'],
      ['long name', 'b', '100'],
    ];
    expect(tableLines(rows, { indent: '> ', right: [2] })).toEqual([
      '> a          \u001b[32m漢字\u001b[39m    1',
      '> long name  b     100',
    ]);
  });

  it('wraps its last column to a width', () =>
    expect(tableLines([['a', 'some words that go on and on']], { indent: '> ', width: 26 })).toEqual([
      '> a  some words that go on',
      '     and on',
    ]));

  it('leaves columns out, one after the other, until its lines are no wider than they may be', () => {
    const lines = (width: number) => tableLines([['a', 'bb', '1', 'last']], { right: [2], drop: [1, 2], width });
    expect([14, 13, 10, 9].map(lines)).toEqual([['a  bb  1  last'], ['a  1  last'], ['a  1  last'], ['a  last']]);
  });

  it('ends no line in spaces', () =>
    expect(
      tableLines([
        ['a', ''],
        ['bbb', 'c'],
      ]),
    ).toEqual(['a', 'bbb  c']));
  it('is empty without rows', () => expect(tableLines([])).toEqual([]));
});
