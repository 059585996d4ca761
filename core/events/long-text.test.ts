import { describe, expect, it } from 'vitest';
import { toErrorRecord, UserError } from '../errors.js';
import { cutLongText } from './long-text.js';

describe('a text that is too long for an event', () => {
  it('is cut, and says by how much', () => {
    expect(cutLongText('x'.repeat(20_000))).toBe(`${'x'.repeat(16_384)}… (and 3616 characters more)`);
    expect(cutLongText('x'.repeat(16_384))).toBe('x'.repeat(16_384));
  });

  it('is cut between characters', () => {
    expect(cutLongText(`x${'🙂'.repeat(10_000)}`)).toBe(`x${'🙂'.repeat(8191)}… (and 3618 characters more)`);
  });

  it('is cut in errors: their message, their hint and their stack', () => {
    const long = 'x'.repeat(1_000_000);
    const records = [toErrorRecord(new Error(long)), toErrorRecord(new UserError('bad', long, { hint: long }))];
    for (const record of records) expect(JSON.stringify(record).length).toBeLessThan(40_000);
  });
});
