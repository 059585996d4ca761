/** A core with a trainer, to be killed, as `runCore` runs it. */
import { definePlugin, defineStage, type Event, input, type PluginDefinition, z } from 'simmerkit';
import { fakeTrainerPlugin } from 'simmerkit/testing';
import { deferred } from '../../core/deferred.js';
import launchers from '../../plugins/launchers/plugin.js';
import sft from '../../plugins/sft/plugin.js';
import { runCore } from './core-process.js';
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

/** A sink, and when it has seen a step of a stage. */
export function reaching(stage: string, step: number) {
  const { promise: reached, resolve } = deferred<void>();
  const onEvent = (event: Event) => {
    if (event.type === 'step.logged' && event.stage === stage && event.data.step === step) resolve();
  };
  return { reached, sink: { onEvent } };
}

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

/** The same without a pause between steps, but for one after so many of both trainings, until the run is interrupted. */
export const heldTraining = (steps: number) =>
  trainingRecipe.replace('stepMilliseconds: 100', `holdAfterSteps: ${steps}`);

await runCore(import.meta, () => ({ recipe: trainingRecipe, plugins: trainingPlugins, resources: { cpus: 4 } }));
