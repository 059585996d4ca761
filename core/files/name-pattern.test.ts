import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fitsPattern } from './name-pattern.js';

it.each([
  ['part-01.jsonl', 'part-??.jsonl', true],
  ['part-1.jsonl', 'part-??.jsonl', false],
  ['a.b.c', '*.c', true],
  ['a.c.b', '*.c', false],
  ['', '*', true],
  ['', '?', false],
  ['a[1].csv', 'a[1].csv', true],
  ['a1.csv', 'a[1].csv', false],
  ['aXb', 'a.b', false],
  ['🙂', '?', true],
])('%j fits %j: %s', (name, pattern, fits) => {
  expect(fitsPattern(name, pattern)).toBe(fits);
});

it('is what the regular expression says', () => {
  const letters = (...more: string[]) => fc.array(fc.constantFrom('a', 'b', ...more), { maxLength: 8 });
  fc.assert(
    fc.property(letters(), letters('*', '?'), (name, pattern) => {
      const expression = new RegExp(`^${pattern.join('').replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(fitsPattern(name.join(''), pattern.join(''))).toBe(expression.test(name.join('')));
    }),
  );
});

it('ends soon whatever the pattern', () => {
  expect(fitsPattern('a'.repeat(255), `${'*a'.repeat(100)}b`)).toBe(false);
});
