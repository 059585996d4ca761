import { readFile } from 'node:fs/promises';
import { type Artifact, defineStage, input, pace, type Row, requireColumns, textIn, UserError } from 'simmerkit';
import { tokensOptions } from './options.js';

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
    const tokenizer = await openTokenizer(inputs.model);
    const steps = pace(context, { unit: 'rows', total: inputs.dataset.rowCount });
    let total = 0;
    const figures = () => ({ tokens: total });
    async function* rows(): AsyncIterable<Row> {
      for await (const row of inputs.dataset.rows()) {
        const count = tokenizer.encode(textIn(row, options.column) ?? '', { add_special_tokens: false }).ids.length;
        total += count;
        yield { ...row, [options.into]: count };
        await steps.step(figures);
      }
    }
    const columns = { ...inputs.dataset.columns, [options.into]: 'BIGINT' };
    const dataset = await context.artifacts.writeDataset(rows(), { columns });
    await steps.finish(figures());
    return { dataset };
  },
});

/** In JavaScript, so that counting needs no trainer; half as fast as the Rust one, and the same ids. */
async function openTokenizer(model: Artifact) {
  const { Tokenizer } = await import('@huggingface/tokenizers');
  const [tokenizer, config] = await Promise.all(
    ['tokenizer.json', 'tokenizer_config.json'].map(async (name): Promise<object> => {
      const file = model.path(name);
      try {
        return JSON.parse(await readFile(file, 'utf8'));
      } catch (error) {
        throw new UserError('tokenizer_invalid', `${file} is not a tokenizer: ${(error as Error).message}.`, {
          kind: 'runFailed',
          hint: 'The model folder must have tokenizer.json and tokenizer_config.json as transformers writes them.',
          cause: error,
        });
      }
    }),
  );
  return new Tokenizer(tokenizer as object, config as object);
}
