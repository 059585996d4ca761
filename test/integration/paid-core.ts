/** A core whose run costs something, to be killed, as `runCore` runs it, with the recipe in PAID_RECIPE. */
import { definePlugin, defineStage, OpenAiEndpoint, z } from 'simmerkit';
import { fakeTrainerPlugin, type HarnessRun, type RunHarnessOptions } from 'simmerkit/testing';
import launchers from '../../plugins/launchers/plugin.js';
import sft from '../../plugins/sft/plugin.js';
import { runCore } from './core-process.js';
import { trainingStages } from './training-stages.js';

/** What a training needs; a stage that asks a server; and one that waits until it is stopped. */
const around = definePlugin({
  name: 'around',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    ...trainingStages(240),
    ask: defineStage({
      description: 'Asks a server, so many questions at a time.',
      options: z.strictObject({
        url: z.string(),
        questions: z.int(),
        atOnce: z.int().default(1),
        price: z.strictObject({ inputPerMillion: z.number(), outputPerMillion: z.number() }).optional(),
      }),
      inputs: {},
      outputs: { report: { type: 'report', description: 'How many were answered.' } },
      async run({ options, signal, spending, artifacts }) {
        const cost = { spending, source: 'teacher', price: options.price };
        const endpoint = new OpenAiEndpoint({
          url: options.url,
          timeoutMilliseconds: 600_000,
          retries: 0,
          signal,
          cost,
        });
        let left = options.questions;
        const work = async () => {
          while (left-- > 0)
            await endpoint.post('chat/completions', { messages: [{ role: 'user', content: '?' }], max_tokens: 1000 });
        };
        await Promise.all(Array.from({ length: options.atOnce }, work));
        return { report: await artifacts.writeReport({ answered: options.questions }) };
      },
    }),
    wait: defineStage({
      description: 'Waits until it is told to stop.',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: 'Never made.' } },
      run: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    }),
  },
});

export const paidOptions: RunHarnessOptions = {
  plugins: [around, launchers, sft, fakeTrainerPlugin],
  resources: { cpus: 4, gpus: 8 },
  // A dollar a second for a machine, and as much for each accelerator.
  hardware: { bench: { usdPerNodeHour: 3600 }, card: { usdPerGpuHour: 3600 }, unpriced: {} },
};

/** 120 steps of 50 milliseconds. */
export const paidTraining = (budget: string, resources = '{ cpus: 1, hardware: bench }') => `
name: paid
budget: { ${budget}, reserve: { step: 0.2, checkpoint: 0.2, shutdown: 0.3 } }
trainers:
  student: { uses: fake-trainer/fake, with: { misbehavior: { stepMilliseconds: 50 } }, resources: ${resources} }
stages:
  base: { uses: around/model }
  rows: { uses: around/rows }
  tuned:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.rows.dataset }}"
      epochs: 1
      globalBatchSize: 2
      checkpointEverySteps: 100
`;

/** What a run told last of all that it had spent. */
export function lastTotal(run: HarnessRun): { readonly usd: number; readonly gpuHours: number } {
  return run.eventsOf('budget.spent').at(-1)?.data.total ?? { usd: 0, gpuHours: 0 };
}

await runCore(import.meta, () => ({ ...paidOptions, recipe: process.env.PAID_RECIPE ?? '' }));
