import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStage, z } from 'simmerkit';

/** What a training by the fake trainer needs, made from nothing. @param rows to train on */
export const trainingStages = (rows: number) => ({
  model: defineStage({
    description: 'A folder that the fake trainer takes for a model.',
    options: z.strictObject({}),
    inputs: {},
    outputs: { model: { type: 'model', description: 'The model.' } },
    async run(context) {
      const folder = await context.artifacts.temporaryFolder();
      await writeFile(join(folder, 'config.json'), '{"model_type": "llama"}');
      await writeFile(join(folder, 'model.safetensors'), 'weights');
      return { model: await context.artifacts.commitModel(folder) };
    },
  }),
  rows: defineStage({
    description: 'Rows to train on.',
    options: z.strictObject({}),
    inputs: {},
    outputs: { dataset: { type: 'dataset', description: 'The rows.' } },
    async run(context) {
      const made = Array.from({ length: rows }, (_, index) => ({ prompt: `${index}?`, completion: `${index}!` }));
      const columns = { prompt: 'VARCHAR', completion: 'VARCHAR' };
      return { dataset: await context.artifacts.writeDataset(made, { columns }) };
    },
  }),
});
