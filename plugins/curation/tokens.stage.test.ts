import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { beforeEach, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { type TokenizerFile, tokenCounter } from './token-counter.js';
import { tokens } from './tokens.stage.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const vocabulary = { '<unk>': 0, a: 1, b: 2, ab: 3, c: 4 };
const tokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'WhitespaceSplit' },
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: vocabulary, merges: [['a', 'b']], unk_token: '<unk>' },
};
const dataset = memoryTable({ id: 'VARCHAR', reasoning: 'VARCHAR' }, [
  { id: '1', reasoning: 'ab abc' },
  { id: '2', reasoning: null },
]);

it('curation/tokens counts tokens with the tokenizer of the model', async () => {
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(folder, 'tokenizer_config.json'), '{"tokenizer_class": "PreTrainedTokenizerFast"}');
  const result = await runStage(tokens, { inputs: { dataset, model: memoryArtifact('model', folder) } });
  expect(result.rows('dataset')).toEqual([
    { id: '1', reasoning: 'ab abc', tokens: 3 },
    { id: '2', reasoning: null, tokens: 0 },
  ]);
});

it('curation/tokens names the file that is not a tokenizer', async () => {
  await writeFile(join(folder, 'tokenizer.json'), '{');
  const run = runStage(tokens, { inputs: { dataset, model: memoryArtifact('model', folder) } });
  await expect(run).rejects.toMatchObject({
    code: 'tokenizer_invalid',
    message: expect.stringContaining(join(folder, 'tokenizer')),
  });
});

it('a tokenizer that splits by an expression counts what it encodes, whatever the text', () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => byteLetter(byte));
  const merges = ['h e', 'l l', 'he ll', 'hell o', 'Ġ hello', 'Ġ Ġ', '1 2'];
  const entries = [...bytes, ...merges.map((merge) => merge.replace(' ', ''))].map((token, id) => [token, id] as const);
  const expression =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const file = {
    ...tokenizer,
    added_tokens: [{ id: 300, content: '<|end|>', special: true, lstrip: false, rstrip: false, normalized: false }],
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: expression }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    model: { type: 'BPE', vocab: Object.fromEntries(entries), merges, unk_token: null, ignore_merges: false },
  };
  const config = { tokenizer_class: 'PreTrainedTokenizerFast' };
  const count = tokenCounter(file as TokenizerFile, config);
  const plain = new Tokenizer(file, config);
  const part = fc.constantFrom(
    'hello',
    ' hello',
    'hellohello'.repeat(40),
    'HELLO',
    "'S",
    ' ',
    '\n',
    '\t',
    '12',
    '½',
    'e\u0301',
    'é',
    '日本',
    '🜁',
    '<|end|>',
    '<|',
    '.',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(part).map((parts) => parts.join('')),
        fc.string({ unit: 'grapheme' }),
      ),
      (text) => {
        expect(count(text)).toBe(plain.encode(text, { add_special_tokens: false }).ids.length);
      },
    ),
    { numRuns: 500 },
  );
});

/** GPT-2's letters for bytes: those that are printed as they are, the others from U+0100 on. */
function byteLetter(byte: number): string {
  const isPrinted = (code: number) => (code > 32 && code < 127) || (code > 160 && code < 173) || code > 173;
  if (isPrinted(byte)) return String.fromCharCode(byte);
  return String.fromCharCode(
    256 + Array.from({ length: byte }, (_, code) => code).filter((code) => !isPrinted(code)).length,
  );
}
