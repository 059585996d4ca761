import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, trainerName, z } from 'simmerkit';

/** A stage that has a trainer answer one prompt. */
export const asking = definePlugin({
  name: 'asking',
  version: '1.0.0',
  apiVersion,
  stages: {
    ask: defineStage({
      description: 'Has a trainer answer.',
      options: z.strictObject({ trainer: trainerName() }),
      inputs: {},
      outputs: { answer: { type: 'report', description: 'What it said.' } },
      estimate: ({ trainer: name }, { trainer }) =>
        trainer(name)({ kind: 'generation', model: {}, prompts: undefined, tokensPerPrompt: 16, longestSequence: 64 }),
      async run({ options, artifacts, trainer }) {
        const folder = await artifacts.temporaryFolder();
        await writeFile(join(folder, 'config.json'), '{"model_type":"fake"}');
        await writeFile(join(folder, 'model.safetensors'), Buffer.from('\u0002\0\0\0\0\0\0\0{}'));
        const events = (await trainer(options.trainer)).generate({
          model: { kind: 'folder', folder },
          prompts: [{ id: 'a', prompt: { kind: 'text', text: '1 + 1' } }],
          sampling: { temperature: 0, maxAnswerTokens: 4, stop: [], seed: 1, samples: 1 },
          policies: [],
        });
        const kinds: string[] = [];
        for await (const { kind } of events) kinds.push(kind);
        return { answer: await artifacts.writeReport(kinds.filter((kind) => kind === 'sample')) };
      },
    }),
  },
});
