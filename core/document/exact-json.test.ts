import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExactJson } from './exact-json.js';

describe('JSON is parsed', () => {
  it.each([
    '12345678901234567890',
    '-9007199254740993',
    '123456789012345678.5',
    '9007199254740993.0',
    '0.1234567890123456789012',
    '0.1000000000000000000001',
    '99999999.12345671',
    '1.23456789012345678e-5',
    '1000000000000000000000',
    '0.00000000000000001',
    '0.0000001',
    '-0.00000012',
    '1e-400',
    '-2.5E-324',
    '0.1e-330',
    '9007199254740990.5e0',
    '1e-12345678901234567890',
  ])('with %s as a text, for a number would be written otherwise', (number) => {
    const row = `{"a":"1.00000000000000000001 \\"2","b":[{"c":${number}}],"d":3}`;
    expect(parseExactJson(row)).toEqual({ a: '1.00000000000000000001 "2', b: [{ c: number }], d: 3 });
  });

  it.each([
    '9007199254740991',
    '0.1',
    '0.000001',
    '10.0000001',
    '1e-7',
    '1e-300',
    '0e-400',
    '5e-324',
    '0.0000001e7',
    '0.0000000',
    '3.1400000000000000000',
    '1e22',
    '1.0000000000000000e22',
    '100000000000000000000',
    '0.12345678901234568',
    '0.00000000000000000000',
    '-0.0000000000000000',
  ])('with %s as the number that it is', (number) => expect(parseExactJson(`[${number}]`)).toEqual([Number(number)]));

  it('in a moment, however many zeros stand within a number', () => {
    const number = `1.${'0'.repeat(500_000)}1`;
    expect(parseExactJson(`[${number}]`)).toEqual([number]);
  });

  it('as JSON.parse has it, wherever that has all digits', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(parseExactJson(JSON.stringify(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('with every digit of a decimal number', () => {
    const decimal = fc.tuple(fc.bigInt({ min: 0n, max: 10n ** 30n }), fc.nat(24)).map(([digits, places]) => {
      const text = String(digits).padStart(places + 1, '0');
      return places === 0 ? text : `${text.slice(0, -places)}.${text.slice(-places)}`;
    });
    fc.assert(
      fc.property(decimal, (written) => {
        const value = parseExactJson(written);
        // A number has no zeros at its end, and may say where they are in another way.
        if (typeof value === 'number') expect(BigInt(scaled(String(value)))).toBe(BigInt(scaled(written)));
        else expect(value).toBe(written);
      }),
    );
  });
});

/** A decimal number times 10^40, as a whole one. */
function scaled(decimal: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(decimal) ?? [];
  return `${whole}${fraction}${'0'.repeat(40 - fraction.length + Number(exponent))}`;
}
