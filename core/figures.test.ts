import { describe, expect, it } from 'vitest';
import { formatBytes, formatCompact, formatCount, formatCounted, formatDuration, formatShare } from './figures.js';

describe('figures for people', () => {
  it.each([
    [0, '0.0s'],
    [-3, '0.0s'],
    [9.94, '9.9s'],
    [9.96, '10s'],
    [59.4, '59s'],
    [59.6, '1m 00s'],
    [252, '4m 12s'],
    [3599.7, '1h 00m'],
    [3840, '1h 04m'],
    [86_399, '1d 00h'],
    [183_600, '2d 03h'],
    [Number.NaN, '?'],
  ])('writes %f seconds as %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it.each([
    [0, '0 B'],
    [812, '812 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_600, '1.0 MB'],
    [270_000_000, '270 MB'],
    [1_900_000_000, '1.9 GB'],
  ])('writes %d bytes as %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it('groups counts and keeps a digit of small fractions', () => {
    expect(formatCount(12_873)).toBe('12,873');
    expect(formatCount(1.25)).toBe('1.3');
    expect(formatCount(417.6)).toBe('418');
  });

  it('shortens large counts', () => expect(formatCompact(134_515_008)).toBe('134.5M'));

  it('writes shares with one digit', () => expect(formatShare(0.4449)).toBe('44.5%'));

  it.each([
    [0, '0 rows'],
    [1, '1 row'],
    [7473, '7,473 rows'],
  ])('counts %i rows as %s', (count, text) => expect(formatCounted(count, 'row')).toBe(text));

  it('has what is not counted by an s', () => {
    expect([1, 2].map((count) => formatCounted(count, 'reply', 'replies'))).toEqual(['1 reply', '2 replies']);
  });
});
