import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Artifact,
  defineStage,
  input,
  type ModelSource,
  optionalInput,
  type TableArtifact,
  type Trainer,
  UserError,
} from 'simmerkit';
import { hyperparametersOf, semanticOnly } from './hyperparameters.js';
import { keepAdapter } from './kept-adapter.js';
import { modelCard, repositoryOf } from './model-card.js';
import { trainOptions } from './options.js';

const trainedColumns = ['prompt', 'completion'];

export const train = defineStage({
  description: 'Fine-tunes a model on prompts and completions; only the completion is trained.',
  options: trainOptions,
  inputs: {
    model: input('model', 'The model to start from.'),
    dataset: input('dataset', 'Rows with `prompt` and `completion`, e.g. from curation/format.'),
    evaluation: optionalInput('dataset', 'Rows of the same columns, to measure the loss on.'),
  },
  outputs: { model: { type: 'model', description: 'The fine-tuned model: a Hugging Face folder.' } },
  check: (options, { inputs }) => {
    const problems = [];
    if (options.evaluateEverySteps > 0 && inputs?.evaluation === 0) {
      problems.push({
        path: 'evaluateEverySteps',
        code: 'evaluation_missing',
        message: '`evaluateEverySteps` is set, and there is no input `evaluation`.',
        hint: 'Give the stage an `evaluation` dataset, or leave evaluateEverySteps out.',
      });
    }
    if (options.lora !== undefined && options.method === 'full') {
      problems.push({
        path: 'lora',
        code: 'option_without_effect',
        message: '`lora` has no effect with method full.',
        hint: 'Set method to lora or qlora, or leave `lora` out.',
      });
    }
    if (options.deviceBatchSize !== undefined && options.deviceBatchSize > options.globalBatchSize) {
      problems.push({
        path: 'deviceBatchSize',
        code: 'batch_too_large',
        message: `deviceBatchSize ${options.deviceBatchSize} is above globalBatchSize ${options.globalBatchSize}.`,
        hint: 'One forward pass is at most one optimizer step: lower deviceBatchSize.',
      });
    } else if (options.globalBatchSize % (options.deviceBatchSize ?? 1) !== 0) {
      problems.push({
        path: 'deviceBatchSize',
        code: 'batch_not_multiple',
        message: `globalBatchSize ${options.globalBatchSize} must be a multiple of deviceBatchSize ${options.deviceBatchSize}.`,
        hint: 'Forward passes of one size add up to an optimizer step: change either, or leave deviceBatchSize to the trainer.',
      });
    }
    for (const name of ['earlyStoppingPatience', 'keepBest'] as const) {
      if (!options[name] || options.evaluateEverySteps > 0) continue;
      problems.push({
        path: name,
        code: 'option_without_effect',
        message: `\`${name}\` has no effect where nothing is evaluated.`,
        hint: 'Set evaluateEverySteps, and give the stage an `evaluation` dataset.',
      });
    }
    return problems;
  },
  reads: () => ({ dataset: trainedColumns, evaluation: trainedColumns }),
  async estimate(options, { inputs, trainer }) {
    const [model = {}, data = {}, evaluation] = [inputs.model, inputs.dataset, inputs.evaluation].flat();
    const work = await trainer(options.trainer)({
      kind: 'training',
      model,
      data,
      ...(evaluation === undefined ? {} : { evaluation }),
      hyperparameters: hyperparametersOf(options, 0),
      ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
    });
    return { ...work, outputs: { model } };
  },
  async run(context) {
    const { inputs, options } = context;
    if (inputs.dataset.rowCount === 0) {
      throw new UserError('empty_dataset', 'The training data has no rows.', {
        kind: 'runFailed',
        hint: 'See the funnel of the curation stages: one of them dropped every row.',
      });
    }
    if (options.evaluateEverySteps > 0 && inputs.evaluation === undefined) {
      throw new UserError('evaluation_missing', '`evaluateEverySteps` is set, and there is no input `evaluation`.', {
        hint: 'Give the stage an `evaluation` dataset, or leave evaluateEverySteps out.',
      });
    }
    const trainer = await context.trainer(options.trainer);
    const source: ModelSource = { kind: 'folder', folder: inputs.model.folder };
    const hyperparameters = hyperparametersOf(options, context.seed);
    const result = await trainer.train({
      model: source,
      trainingData: parquetOf(inputs.dataset),
      ...(inputs.evaluation === undefined ? {} : { evaluationData: parquetOf(inputs.evaluation) }),
      hyperparameters,
      ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
    });
    const folder =
      options.method === 'full'
        ? result.modelFolder
        : await mergeAdapter(trainer, inputs.model, result.modelFolder, await context.artifacts.temporaryFolder());
    const { extensions } = options;
    const semantic = { ...semanticOnly(hyperparameters), ...(extensions === undefined ? {} : { extensions }) };
    const { versions } = await trainer.describe();
    const card = modelCard({ ...inputs, result, hyperparameters: semantic, versions });
    await writeFile(join(folder, 'README.md'), card, { flush: true });
    const model = await context.artifacts.commitModel(folder, {
      baseModel: inputs.model.uri,
      dataset: inputs.dataset.uri,
      steps: result.steps,
      finalLoss: result.finalLoss,
      ...(result.evaluationLoss === undefined ? {} : { evaluationLoss: result.evaluationLoss }),
      ...(result.bestStep === undefined ? {} : { bestStep: result.bestStep }),
      hyperparameters: semantic,
    });
    return { model };
  },
});

/** A table artifact has one file. */
function parquetOf(table: TableArtifact): string {
  return table.path('data.parquet');
}

/** The adapter alone is no model that the next stage could open by itself; it lies beside the whole. */
async function mergeAdapter(
  trainer: Trainer,
  base: Artifact,
  adapterFolder: string,
  outputFolder: string,
): Promise<string> {
  await trainer.export({ model: { kind: 'folder', folder: base.folder, adapterFolder }, outputFolder });
  await keepAdapter(adapterFolder, outputFolder, repositoryOf(base));
  return outputFolder;
}
