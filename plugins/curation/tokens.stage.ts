import { readFile } from 'node:fs/promises';
import { type Artifact, defineStage, input, type Row, requireColumns, UserError } from 'simmerkit';
import { workOnTexts } from './compared-text.js';
import { tokensOptions } from './options.js';
import type { TokenizerTexts } from './tokens.work.js';

export const tokens = defineStage({
  description: "Counts the tokens of a column as a model's tokenizer has them.",
  options: tokensOptions,
  inputs: {
    dataset: input('dataset', 'Rows with the column.'),
    model: input('model', 'The model whose tokenizer counts.'),
  },
  outputs: { dataset: { type: 'dataset', description: 'The same rows with the number of tokens.' } },
  async run(context) {
    const { inputs, options } = context;
    requireColumns(inputs.dataset, [options.column], 'The dataset');
    const settings = await readTokenizer(inputs.model);
    const module = new URL('./tokens.work.js', import.meta.url);
    const rows: Row[] = [];
    let total = 0;
    const figures = () => ({ tokens: total });
    const work = { columns: [options.column], module, settings, unit: 'rows', figures };
    for await (const counts of workOnTexts<TokenizerTexts, Uint32Array>(context, inputs.dataset, work)) {
      for (const count of counts) {
        rows.push({ [options.into]: count });
        total += count;
      }
    }
    const added = { columns: { [options.into]: 'BIGINT' }, rows };
    return { dataset: await context.artifacts.deriveDataset(inputs.dataset, { added }) };
  },
});

async function readTokenizer(model: Artifact): Promise<TokenizerTexts> {
  const [tokenizer, config] = await Promise.all([
    readJsonText(model.path('tokenizer.json')),
    readJsonText(model.path('tokenizer_config.json')),
  ]);
  return { tokenizer, config };
}

async function readJsonText(file: string): Promise<string> {
  try {
    const text = await readFile(file, 'utf8');
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new UserError('tokenizer_invalid', `${file} is not a tokenizer: ${(error as Error).message}.`, {
      kind: 'runFailed',
      hint: 'The model folder must have tokenizer.json and tokenizer_config.json as transformers writes them.',
      cause: error,
    });
  }
}
