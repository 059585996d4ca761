import {
  type Columns,
  defineStage,
  input,
  optionalInput,
  type Row,
  requireColumns,
  textIn,
  UserError,
} from 'simmerkit';
import { type FormatOptions, formatOptions } from './options.js';
import { sieveFacts } from './row-facts.js';
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
  inputs: {
    dataset: input('dataset', 'Problems with `question`, `reasoning` and `answer`.'),
    model: optionalInput('model', 'The model to train: its chat template says what ends a reply.'),
  },
  outputs: sieveOutputs,
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { sieveAndChange } = await import('./sieve.js');
    const { textFormat, trainingText } = await import('./training-text.js');
    const { options, inputs } = context;
    requireColumns(inputs.dataset, ['id', 'question', 'reasoning', 'answer'], 'The dataset');
    const { model } = inputs;
    const template =
      model === undefined ? undefined : await (await import('./chat-template.js')).readChatTemplate(model.folder);
    const format = textFormat(options, template);
    const textOf = (row: Row) => trainingText(row, format);
    return await sieveAndChange(
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
