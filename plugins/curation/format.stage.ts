import { type Columns, defineStage, input, type Row, requireColumns, textIn, UserError } from 'simmerkit';
import { type FormatOptions, formatOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';

const columns: Columns = {
  id: 'VARCHAR',
  prompt: 'STRUCT("role" VARCHAR, content VARCHAR)[]',
  completion: 'VARCHAR',
};

export const format = defineStage({
  description:
    "Writes the text to train on: the question as prompt, trace and answer behind s1's markers as completion.",
  options: formatOptions,
  inputs: { dataset: input('dataset', 'Problems with `question`, `reasoning` and `answer`.') },
  outputs: sieveOutputs,
  async run(context) {
    const { sieve } = await import('./sieve.js');
    const { trainingText } = await import('./training-text.js');
    const { options, inputs } = context;
    requireColumns(inputs.dataset, ['id', 'question', 'reasoning', 'answer'], 'The dataset');
    const textOf = (row: Row) => trainingText(row, options);
    return await sieve(
      context,
      inputs.dataset,
      (row) => {
        const text = textOf(row);
        return 'missing' in text ? dropOrFail(text.missing, row, options) : undefined;
      },
      { columns, change: (row) => ({ id: textIn(row, 'id'), ...textOf(row) }) },
    );
  },
});

function dropOrFail(missing: string, row: Row, options: FormatOptions) {
  if (options.missing === 'drop') return { rule: `no_${missing}` };
  throw new UserError('value_missing', `Row ${textIn(row, 'id')} has no ${missing}.`, {
    kind: 'runFailed',
    hint: `Map a field to \`${missing}\` in curation/load, or set \`missing: drop\` here to leave such rows out.`,
  });
}
