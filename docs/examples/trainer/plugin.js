import { fileURLToPath } from 'node:url';
import { definePlugin, defineTrainer, z } from 'simmerkit';

const program = fileURLToPath(new URL('trainer.py', import.meta.url));

export default definePlugin({
  name: 'bigram',
  version: '1.0.0',
  apiVersion: 1,
  trainers: {
    bigram: defineTrainer({
      description: 'Learns which byte follows which.',
      options: z.strictObject({}),
      relevantVersions: async () => ({ bigram: '1.0' }),
      prepare: async () => ({ argv: ['python3', program], env: {} }),
    }),
  },
});
