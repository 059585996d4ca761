import { defineStage, input, type Row, textIn, z } from 'simmerkit';

export const keepShort = defineStage({
  description: 'Keeps the rows whose question has at most so many words.',
  options: z.strictObject({
    words: z.int().positive().default(40).describe('Longest question to keep, in words.'),
  }),
  inputs: { dataset: input('dataset', 'Rows with a column `question`.') },
  outputs: { dataset: { type: 'dataset', description: 'The rows kept, in their order.' } },
  reads: () => ({ dataset: ['question'] }),
  columns: (_, columnsOf) => ({ dataset: columnsOf('dataset') }),
  async run({ inputs, options, artifacts, emit }) {
    const { dataset } = inputs;
    const kept: Row[] = [];
    for await (const row of dataset.rows()) {
      const words = (textIn(row, 'question') ?? '').split(/\s+/).filter((word) => word !== '');
      if (words.length <= options.words) kept.push(row);
    }
    await emit({
      type: 'funnel.counted',
      data: {
        step: 'keep-short',
        rowsIn: dataset.rowCount,
        rowsOut: kept.length,
        dropped: { too_long: dataset.rowCount - kept.length },
      },
    });
    return { dataset: await artifacts.writeDataset(kept, { columns: dataset.columns }) };
  },
});
