import { defineStage, formatCounted, input, optionalInput, UserError, z } from 'simmerkit';
import { hyperparametersOf } from './hyperparameters.js';
import { trainOptions } from './options.js';

/** Takes what sft/train takes, so that `simmer inspect` can put it in that stage's place. */
export const inspect = defineStage({
  description: 'Shows rows as the trainer would see them: their tokens, and which of them are trained.',
  options: trainOptions.extend({
    rows: z
      .array(z.int().min(0))
      .min(1)
      .max(100)
      .default([0, 1, 2])
      .describe('Positions of rows in the dataset, from 0; those beyond its end are left out.'),
  }),
  inputs: {
    model: input('model', 'The model whose tokenizer and chat template are used.'),
    dataset: input('dataset', 'Rows with `prompt` and `completion`, e.g. from curation/format.'),
    evaluation: optionalInput('dataset', 'Not looked at; sft/train has it.'),
  },
  outputs: { report: { type: 'report', description: '`rows`: tokens, and whether each is trained.' } },
  reads: () => ({ dataset: ['prompt', 'completion'] }),
  async run({ inputs, options: { rows, ...options }, seed, artifacts, trainer: acquire }) {
    const { dataset, model } = inputs;
    const present = rows.filter((row) => row < dataset.rowCount);
    if (present.length === 0) {
      throw new UserError('no_such_row', `The training data has ${formatCounted(dataset.rowCount, 'row')}.`, {
        hint: 'Rows are counted from 0.',
      });
    }
    const trainer = await acquire(options.trainer);
    const inspected = await trainer.inspect(
      {
        model: { kind: 'folder', folder: model.folder },
        trainingData: dataset.path('data.parquet'),
        hyperparameters: hyperparametersOf(options, seed),
      },
      present,
    );
    return { report: await artifacts.writeReport({ rows: inspected }) };
  },
});
