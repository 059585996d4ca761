import { definePlugin, defineStage, z } from 'simmerkit';

/** A folder with a tokenizer and no weights is model enough to count tokens. */
const folder = defineStage({
  description: 'References a folder that has a tokenizer.',
  options: z.strictObject({ path: z.string().describe('Has tokenizer.json beside tokenizer_config.json.') }),
  inputs: {},
  outputs: { model: { type: 'model', description: 'The folder.' } },
  async run({ options, artifacts }) {
    return { model: await artifacts.referenceModel(options.path) };
  },
});

export default definePlugin({ name: 'tokenizer', version: '1.0.0', apiVersion: 1, stages: { folder } });
