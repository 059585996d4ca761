import { expect, it } from 'vitest';
import { fieldMapper } from './field-mapping.js';
import { loadOptions, type Source } from './load-options.js';

function mapped(value: unknown, type: string): unknown {
  const options = loadOptions.parse({ sources: { a: { path: 'a.jsonl', fields: { n: 'n' } } }, types: { n: type } });
  const map = fieldMapper(options.sources.a as Source, options);
  return map({ question: 'Q', n: value }, { file: 'a.jsonl' }).row.n;
}

it.each([
  ['BIGINT', '12', 12],
  ['BIGINT', ' +12.00 ', 12],
  ['BIGINT', '1.5e1', 15],
  ['BIGINT', '1500e-2', 15],
  ['BIGINT', '0.0e-3', 0],
  ['BIGINT', 1e3, 1000],
  ['DOUBLE', '-.5', -0.5],
  ['DOUBLE', '4503599627370496.5', 2 ** 52],
  ['DOUBLE', '10000000000000000000001', 1e22],
])('as %s, %j is %d', (type, value, number) => expect(mapped(value, type)).toBe(number));

it.each([
  ['BIGINT', '0x10'],
  ['BIGINT', '1.5'],
  ['BIGINT', '9007199254740990.5'],
  ['BIGINT', '9007199254740990.5e0'],
  ['BIGINT', '90071992547409905e-1'],
  ['BIGINT', '1e-400'],
  ['BIGINT', '9007199254740993'],
  ['DOUBLE', '0b11'],
  ['DOUBLE', 'Infinity'],
  ['DOUBLE', ' '],
])('as %s, %j is refused', (type, value) => {
  expect(() => mapped(value, type)).toThrow(`column \`n\` is ${type}, and this is ${JSON.stringify(value)}`);
});

it('a text of a million digits that is no number is refused as soon as any other', () => {
  const digits = '1'.repeat(1_000_000);
  for (const text of [`${digits}x`, `1.${digits}e9`])
    expect(() => mapped(text, 'BIGINT')).toThrow('column `n` is BIGINT');
});
