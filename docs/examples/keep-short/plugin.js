import { definePlugin, defineStage, input, z } from 'simmerkit';

const keepShort = defineStage({
  description: 'Keeps rows whose question has at most so many words.',
  options: z.object({
    words: z.int().positive().default(40).describe('Longest question to keep, in words.'),
  }),
  inputs: { dataset: input('dataset', 'Rows with a column `question`.') },
  outputs: { dataset: { type: 'dataset', description: 'The rows kept, in their order.' } },
  async run({ inputs, options, artifacts, emit }) {
    const kept = [];
    for await (const row of inputs.dataset.rows()) {
      if (String(row.question).split(/\s+/).length <= options.words) kept.push(row);
    }
    const rowsIn = inputs.dataset.rowCount;
    await emit({
      type: 'funnel.counted',
      data: { step: 'keep-short', rowsIn, rowsOut: kept.length, dropped: { too_long: rowsIn - kept.length } },
    });
    return { dataset: await artifacts.writeDataset(kept, { columns: inputs.dataset.columns }) };
  },
});

export default definePlugin({
  name: 'keep-short',
  version: '1.0.0',
  apiVersion: 1,
  stages: { 'keep-short': keepShort },
});
