/**
 * A core with a trainer, to be killed: starts or takes up a run in a home and writes each event that a sink got, one a
 * line, on stdout. `node trained-core.js HOME [RUN_ID]`
 */
import { writeSync } from 'node:fs';
import { definePlugin, defineStage, input, type PluginDefinition, z } from 'simmerkit';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import launchers from '../../plugins/launchers/plugin.js';
import sft from '../../plugins/sft/plugin.js';
import { trainingStages } from './training-stages.js';

/** What a training needs, and something that comes after it. */
const around = definePlugin({
  name: 'around',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    ...trainingStages(40),
    look: defineStage({
      description: 'Looks at a model.',
      options: z.strictObject({}),
      inputs: { model: input('model', 'What to look at.') },
      outputs: { report: { type: 'report', description: 'What was seen.' } },
      run: async (context) => ({ report: await context.artifacts.writeReport({ uri: context.inputs.model.uri }) }),
    }),
  },
});

export const trainingPlugins: readonly PluginDefinition[] = [around, launchers, sft, fakeTrainerPlugin];

/** Two trainings by one trainer, twenty steps each, and a stage without one. */
export const trainingRecipe = `
name: trained
trainers:
  student: { uses: fake-trainer/fake, with: { misbehavior: { stepMilliseconds: 100 } }, resources: { cpus: 1 } }
stages:
  base: { uses: around/model }
  rows: { uses: around/rows }
  first:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.rows.dataset }}"
      epochs: 1
      globalBatchSize: 2
      checkpointEverySteps: 5
  second:
    uses: sft/train
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.rows.dataset }}"
      epochs: 1
      globalBatchSize: 2
      learningRate: 0.1
      checkpointEverySteps: 5
  seen: { uses: around/look, with: { model: "\${{ stages.second.model }}" } }
`;

async function main(home: string, runId: string | undefined): Promise<void> {
  await using harness = await RunHarness.create({ plugins: trainingPlugins, home, resources: { cpus: 4 } });
  const sinks = [{ onEvent: (event: unknown) => void writeSync(1, `${JSON.stringify(event)}\n`) }];
  const handle =
    runId === undefined
      ? await harness.start(trainingRecipe, { sinks })
      : await harness.manager.resume(runId, { sinks });
  await handle.finished;
}

const [home, runId] = process.argv.slice(2);
if (home !== undefined && process.argv[1]?.endsWith('trained-core.js')) await main(home, runId);
