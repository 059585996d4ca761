import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wrapLine, wrapText } from './wrap-text.js';

describe('a wrapped text', () => {
  it('is broken between words', () =>
    expect(wrapText('one two  three\nfour', 9)).toEqual(['one two', 'three', 'four']));
  it('leaves a word whole that is wider', () => expect(wrapText('a wonderful b', 4)).toEqual(['a', 'wonderful', 'b']));
  it('leaves commands whole, so that they can be copied', () => {
    expect(wrapText('say (`simmer run my.yaml`) or', 12)).toEqual(['say', '(`simmer run my.yaml`)', 'or']);
    expect(wrapText('Go on: simmer resume latest', 12)).toEqual(['Go on:', 'simmer resume latest']);
  });
  it('does not count colours', () => expect(wrapText('\u001b[2mone two\u001b[22m', 7)).toHaveLength(1));

  it('keeps all words in their order', () =>
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1 }), fc.nat(40), (words, width) => {
        expect(wrapText(words.join(' '), width).join(' ')).toBe(words.join(' '));
      }),
    ));
});

describe('a wrapped line', () => {
  it('keeps its indent, and goes on further in', () =>
    expect(wrapLine('  one two three', 10)).toEqual(['  one', '    two', '    three']));
  it('is as it was where it fits, or where nothing says how wide it may be', () => {
    expect(wrapLine('  one  two', 10)).toEqual(['  one  two']);
    expect(wrapLine(' one  two three')).toEqual([' one  two three']);
  });
});
