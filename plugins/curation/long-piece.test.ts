import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hastenLongPieces, type PairModel } from './long-piece.js';

function modelOf(merges: readonly (readonly [string, string])[], more: object = {}): PairModel {
  const tokens = [...new Set(['<unk>', ...'abc', ...merges.map((pair) => pair.join(''))])];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const model = { type: 'BPE', vocab, merges, unk_token: '<unk>', ...more };
  const none = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  const file = { version: '1.0', added_tokens: [], ...none, model };
  return new Tokenizer(file, { tokenizer_class: 'PreTrainedTokenizerFast' }).model as unknown as PairModel;
}

describe('a long piece', () => {
  it('has the tokens that the library finds, whatever the merges', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '𝒳'), minLength: 256, maxLength: 400 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 }),
        fc.array(piece, { minLength: 1, maxLength: 3 }),
        (choices, pieces) => {
          // As they are learned: of what there is so far.
          const tokens = ['a', 'b', 'c'];
          const merges = choices.map(([one, other]) => {
            const pair = [tokens[one % tokens.length]!, tokens[other % tokens.length]!] as const;
            tokens.push(pair.join(''));
            return pair;
          });
          const model = modelOf(merges);
          const expected = pieces.map((each) => model.bpe(each));
          hastenLongPieces(model);
          expect(pieces.map((each) => model.bpe(each))).toEqual(expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('of millions of letters takes no more memory than there is', () => {
    const model = modelOf([
      ['a', 'b'],
      ['ab', 'ab'],
      ['abab', 'c'],
    ]);
    hastenLongPieces(model);
    expect(model.bpe('ababc'.repeat(1_000_000)).length).toBe(1_000_000);
  });

  it('is left to the library where words end with a mark', () => {
    const model = modelOf([['a', 'b']], { end_of_word_suffix: '</w>' });
    hastenLongPieces(model);
    expect(model.bpe('c'.repeat(300)).at(-1)).toBe('c</w>');
  });
});
