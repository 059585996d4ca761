import fc from 'fast-check';
import { expect, it } from 'vitest';
import { shortened, shortenedAtStart, startOf } from './shortened-text.js';

const texts = fc.string({ unit: fc.constantFrom('a', ' ', 'é', '😀', '👩‍👧'), maxLength: 60 });

it('a shortened text is within its length, and all its characters are whole', () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 40 }), (text, length) => {
      for (const short of [startOf, shortened, shortenedAtStart].map((cut) => cut(text, length))) {
        expect(short.length).toBeLessThanOrEqual(length);
        expect(short.isWellFormed()).toBe(true);
      }
      expect(startOf(text, length).length).toBeGreaterThanOrEqual(Math.min(text.length, length) - 1);
      expect(text.startsWith(startOf(text, length))).toBe(true);
    }),
  );
});

it('a shortened text is one line, and says that it goes on', () => {
  expect(shortened(' one\n two ')).toBe('one two');
  expect(shortened('one two three', 8)).toBe('one two…');
  expect(shortenedAtStart('one two three', 8)).toBe('…o three');
  expect(shortenedAtStart(`😀😀${'a'.repeat(198)}`)).toBe(`…${'a'.repeat(198)}`);
  expect(shortened(`${'a'.repeat(198)}😀😀`, 200)).toBe(`${'a'.repeat(198)}…`);
});
