import { defineStage, input, type Row, workInThreads } from 'simmerkit';
import { tokensOptions } from './options.js';
import { factsOf } from './row-facts.js';
import type { TokenizerSettings } from './tokens.work.js';

export const tokens = defineStage({
  description: "Counts the tokens of a column as a model's tokenizer has them.",
  options: tokensOptions,
  inputs: {
    dataset: input('dataset', 'Rows with the column.'),
    model: input('model', 'The model whose tokenizer counts.'),
  },
  outputs: { dataset: { type: 'dataset', description: 'The same rows with the number of tokens.' } },
  reads: ({ column }) => ({ dataset: [column] }),
  columns({ into }, columnsOf) {
    const columns = columnsOf('dataset');
    return { dataset: columns && [...columns, into] };
  },
  estimate: (_, { inputs }) => ({ outputs: { dataset: factsOf(inputs.dataset) } }),
  async run(context) {
    const { inputs, options } = context;
    const module = new URL('./tokens.work.js', import.meta.url);
    const rows: Row[] = [];
    let total = 0;
    const figures = () => ({ tokens: total });
    const files = ['tokenizer.json', 'tokenizer_config.json'].map((name) => inputs.model.path(name));
    const settings = { column: options.column, files: files as [string, string] };
    // The expressions of a tokenizer are its maker's.
    const work = { columns: [options.column], module, settings, unit: 'rows', figures, isUnbounded: true };
    for await (const counts of workInThreads<TokenizerSettings, Uint32Array>(context, inputs.dataset, work)) {
      for (const count of counts) {
        rows.push({ [options.into]: count });
        total += count;
      }
    }
    const added = { columns: { [options.into]: 'BIGINT' }, rows };
    return { dataset: await context.artifacts.deriveDataset(inputs.dataset, { added }) };
  },
});
