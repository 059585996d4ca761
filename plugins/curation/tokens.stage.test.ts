import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { tokens } from './tokens.stage.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simmer-tokens-'));
});
afterEach(() => rm(folder, { recursive: true }));

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
