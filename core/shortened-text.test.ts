import fc from 'fast-check';
import { expect, it } from 'vitest';
import { toErrorRecord, UserError } from './errors.js';
import { cutLongText, shortened, shortenedAtStart, startOf } from './shortened-text.js';

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

it('a text that is too long for an event is cut between characters, and says by how much', () => {
  expect(cutLongText('x'.repeat(20_000))).toBe(`${'x'.repeat(16_384)}… (and 3616 characters more)`);
  expect(cutLongText('x'.repeat(16_384))).toBe('x'.repeat(16_384));
  expect(cutLongText(`x${'🙂'.repeat(10_000)}`)).toBe(`x${'🙂'.repeat(8191)}… (and 3618 characters more)`);
});

it('message, hint and stack of an error are cut', () => {
  const long = 'x'.repeat(1_000_000);
  const records = [toErrorRecord(new Error(long)), toErrorRecord(new UserError('bad', long, { hint: long }))];
  for (const record of records) expect(JSON.stringify(record).length).toBeLessThan(40_000);
});
