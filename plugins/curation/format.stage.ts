import {
  type Columns,
  defineStage,
  formatCount,
  hasHistory,
  historyType,
  input,
  messagesType,
  optionalInput,
  type Row,
  textIn,
  UserError,
} from 'simmerkit';
import { historyOf, repliesProblems } from './history.js';
import { formatOptions } from './options.js';
import { sieveFacts } from './row-facts.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';
import { beginningAdvice, columnsNeeded, textFormat, traceColumn, trainingText } from './training-text.js';

const columns: Columns = {
  id: 'VARCHAR',
  prompt: messagesType,
  completion: 'VARCHAR',
};

export const format = defineStage({
  description:
    "Writes the text to train on: the question as prompt, trace and answer behind s1's markers, or the answer alone, as completion.",
  options: formatOptions,
  inputs: {
    dataset: input(
      'dataset',
      'Problems with `question`, `reasoning` (not for preset chat; of graded samples `thinking`) and `answer`, and the ' +
        '`history` that load kept.',
    ),
    model: optionalInput('model', 'The model to train: its chat template says what ends a reply.'),
  },
  outputs: sieveOutputs,
  check: (options) => repliesProblems(options),
  reads(options, columnsOf) {
    return { dataset: ['id', ...columnsNeeded(traceColumn(options, columnsOf('dataset') ?? []))] };
  },
  columns: () => sieveColumns(Object.keys(columns)),
  estimate: (_, { inputs }) => ({ outputs: sieveFacts(inputs.dataset) }),
  async run(context) {
    const { sieveAndChange } = await import('./sieve.js');
    const { options, inputs } = context;
    const trace = traceColumn(options, Object.keys(inputs.dataset.columns));
    const { model } = inputs;
    const template =
      model === undefined ? undefined : await (await import('./chat-template.js')).readChatTemplate(model.folder);
    const format = textFormat(options, trace, template);
    const advice = template === undefined ? undefined : beginningAdvice(options, template);
    if (advice !== undefined) context.log.warning(advice);
    const isChat = hasHistory(inputs.dataset);
    const textOf = (row: Row) => trainingText(row, format, isChat ? historyOf(row) : []);
    const missing = new Set<string>();
    const sieved = await sieveAndChange(
      context,
      inputs.dataset,
      (row) => {
        const text = textOf(row);
        if (!('missing' in text)) return undefined;
        if (options.missing === 'error') throw valueMissing(text.missing, row);
        missing.add(text.missing);
        return { rule: `no_${text.missing}` };
      },
      {
        columns: options.replies === 'all' ? { ...columns, completion: historyType } : columns,
        change: (row) => ({ id: textIn(row, 'id'), ...textOf(row) }),
      },
    );
    const { rowCount } = inputs.dataset;
    if (sieved.dataset.rowCount === 0 && rowCount > 0) throw nothingFormatted(rowCount, missing);
    return sieved;
  },
});

function valueMissing(missing: string, row: Row): UserError {
  return new UserError('value_missing', `Row ${textIn(row, 'id')} has no ${missing}.`, {
    kind: 'runFailed',
    hint: `${remedy(missing)}, or set \`missing: drop\` to leave such rows out.`,
  });
}

function nothingFormatted(rowCount: number, missing: ReadonlySet<string>): UserError {
  const [first = ''] = missing;
  const message = `Each of the ${formatCount(rowCount)} rows has no ${[...missing].join(' or no ')}.`;
  return new UserError('no_rows', message, { kind: 'runFailed', hint: `${remedy(first)}.` });
}

function remedy(missing: string): string {
  const alone = '`preset: chat` here to train on the answers alone';
  // Of graded samples, a model's own thinking.
  if (missing === 'thinking') return `Set ${alone}`;
  const mapped = `Map a field to \`${missing}\` in curation/load`;
  return missing === 'reasoning' ? `${mapped}, or set ${alone}` : mapped;
}
