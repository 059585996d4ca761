import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStage, input, trainerName, UserError, z } from 'simmerkit';

export const gguf = defineStage({
  description: 'Writes a model as one GGUF file, for llama.cpp and what is built on it.',
  options: z.strictObject({
    trainer: trainerName().describe('Who writes it.'),
    precision: z
      .enum(['float32', 'bfloat16'])
      .default('bfloat16')
      .describe("Type of the weights. llama.cpp's own `llama-quantize` makes smaller ones of it."),
    fileName: z
      .string()
      .regex(/^[\w.-]+\.gguf$/, 'A file name that ends in .gguf.')
      .default('model.gguf')
      .describe('Name of the file in the artifact.'),
  }),
  inputs: { model: input('model', 'A Hugging Face folder, e.g. from sft/train.') },
  outputs: { model: { type: 'model', description: 'A folder with the GGUF file.' } },
  async run({ inputs, options, artifacts, trainer: acquire }) {
    const { trainer: name, precision, fileName } = options;
    const trainer = await acquire(name);
    const outputFolder = await artifacts.temporaryFolder();
    const model = { kind: 'folder', folder: inputs.model.folder } as const;
    const { architecture, parameters } = await trainer.export({ model, outputFolder, precision, format: 'gguf' });
    const written = join(outputFolder, 'model.gguf');
    if (!(await stat(written).catch(() => undefined))?.isFile()) {
      // One that knows no formats has written what it always writes.
      throw new UserError('format_unsupported', `Trainer ${name} wrote no GGUF file.`, {
        hint: 'Use one whose version knows GGUF, such as torch-trainer/torch.',
      });
    }
    await rename(written, join(outputFolder, fileName));
    return {
      model: await artifacts.commitModel(outputFolder, {
        source: inputs.model.uri,
        format: 'gguf',
        architecture,
        parameters,
      }),
    };
  },
});
