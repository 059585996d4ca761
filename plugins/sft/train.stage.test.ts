import { mkdtempSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainingRequest, TrainingResult } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { trainerThat } from '../../test/stub-trainer.js';
import { sharedFolder } from '../../test/temporary-folder.js';
import { train } from './train.stage.js';

const folder = sharedFolder();

function recordingTrainer(result: Partial<TrainingResult> = {}) {
  const modelFolder = mkdtempSync(join(folder, 'model-'));
  const requests: TrainingRequest[] = [];
  const exports: unknown[] = [];
  const trainer = trainerThat({
    describe: async () => ({
      name: 'recording',
      version: '1.0.0',
      capabilities: new Set(['train']),
      versions: { torch: '2.13.0', python: '3.11.7' },
      devices: [],
      processId: 1,
    }),
    train: async (request) => {
      requests.push(request);
      return { modelFolder, steps: 315, finalLoss: 0.25, ...result };
    },
    export: async (request) => {
      exports.push(request);
      return { files: [], parameters: 1, architecture: 'LlamaForCausalLM', contextLength: 8 };
    },
  });
  return { trainer, requests, exports, modelFolder };
}

const rows = [{ id: '1', prompt: 'a', completion: 'b' }];
const dataset = memoryTable({ id: 'VARCHAR', prompt: 'VARCHAR', completion: 'VARCHAR' }, rows);
const model = memoryArtifact('model', '/models/base');

describe('sft/train', () => {
  it("asks for s1's hyperparameters where the recipe says nothing", async () => {
    const { trainer, requests, modelFolder } = recordingTrainer();
    const result = await runStage(train, {
      options: { trainer: 'student' },
      inputs: { model, dataset },
      trainer,
      seed: 11,
    });
    expect(requests).toEqual([
      {
        model: { kind: 'folder', folder: '/models/base' },
        trainingData: '/memory/dataset/data.parquet',
        hyperparameters: {
          method: 'full',
          learningRate: 1e-5,
          epochs: 5,
          globalBatchSize: 16,
          warmupRatio: 0.05,
          schedule: 'cosine',
          adamBeta1: 0.9,
          adamBeta2: 0.95,
          adamEpsilon: 1e-8,
          weightDecay: 1e-4,
          maxGradientNorm: 1,
          maxSequenceLength: 32768,
          maxTruncatedShare: 0.05,
          packing: false,
          gradientCheckpointing: false,
          seed: 11,
          checkpointEverySteps: 50,
          checkpointEverySeconds: 0,
          checkpointsKept: 2,
          checkpointKeptEverySteps: 0,
          logEverySteps: 1,
          evaluateEverySteps: 0,
          earlyStoppingPatience: 0,
          earlyStoppingMinImprovement: 0,
          keepBest: false,
          maxLossRise: 2,
        },
      },
    ]);
    expect(result.outputs.model).toMatchObject({
      folder: modelFolder,
      metadata: { baseModel: model.uri, dataset: dataset.uri, steps: 315, finalLoss: 0.25 },
    });
    expect(result.outputs.model?.metadata.hyperparameters).not.toHaveProperty('checkpointEverySteps');
  });

  it('merges an adapter into a whole model', async () => {
    const { trainer, requests, exports, modelFolder } = recordingTrainer();
    const options = { trainer: 'student', method: 'lora', lora: { rank: 8 } };
    const result = await runStage(train, { options, inputs: { model, dataset }, trainer });
    expect(requests[0]?.hyperparameters.lora).toEqual({ rank: 8, alpha: 32, dropout: 0, targetModules: [] });
    expect(exports).toEqual([
      {
        model: { kind: 'folder', folder: '/models/base', adapterFolder: modelFolder },
        outputFolder: result.outputs.model?.folder,
      },
    ]);
  });

  it('leaves a model card that tells how the model was made, and nothing of when and where', async () => {
    const { trainer, modelFolder } = recordingTrainer({ stoppedEarly: true, bestStep: 120, evaluationLoss: 0.5 });
    const options = {
      trainer: 'student',
      evaluateEverySteps: 10,
      keepBest: true,
      padToken: '<|fim_pad|>',
      extensions: { weights: 'bfloat16' },
    };
    const base = memoryArtifact('model', '/models/base', { source: 'hf://Qwen/Qwen2.5-32B-Instruct@5ede1c9' });
    const inputs = { model: base, dataset, evaluation: dataset };
    const result = await runStage(train, { options, inputs, trainer, seed: 3 });
    expect(result.outputs.model?.metadata).toMatchObject({ evaluationLoss: 0.5, bestStep: 120 });
    const card = await readFile(join(modelFolder, 'README.md'), 'utf8');
    expect(card.startsWith('---\nlibrary_name: transformers\n')).toBe(true);
    for (const part of [
      'base_model: Qwen/Qwen2.5-32B-Instruct\n',
      `- Training data: 1 row (\`${dataset.uri}\`)`,
      '- Optimizer steps: 315, ended by early stopping',
      '- The weights are those of step 120',
      '- Loss on the evaluation rows: 0.5000',
      '| extensions.weights | bfloat16 |',
      '| learningRate | 0.00001 |',
      '| padToken | <\\|fim_pad\\|> |',
      '| seed | 3 |',
      '| torch | 2.13.0 |',
    ]) {
      expect(card).toContain(part);
    }
    for (const absent of ['3.11.7', modelFolder, 'checkpointEverySteps', 'logEverySteps']) {
      expect(card).not.toContain(absent);
    }
  });

  it.each([
    ['missing_column', memoryTable({ text: 'VARCHAR' }, [{ text: 'a' }]), {}],
    ['empty_dataset', memoryTable(dataset.columns, []), {}],
    ['evaluation_missing', dataset, { evaluateEverySteps: 10 }],
  ])('refuses with %s', async (code, table, more) => {
    const { trainer } = recordingTrainer();
    const run = runStage(train, {
      options: { trainer: 'student', ...more },
      inputs: { model, dataset: table },
      trainer,
    });
    await expect(run).rejects.toMatchObject({ code });
  });

  it('finds options that contradict each other before it runs', async () => {
    const options = train.options.parse({ trainer: 'student', lora: {}, globalBatchSize: 4, deviceBatchSize: 8 });
    const paths = async (given: typeof options) =>
      (await train.check?.(given, { recipeFolder: '.', inputs: { model: 1, dataset: 1, evaluation: 0 } }))?.map(
        (problem) => problem.path,
      );
    expect(await paths(options)).toEqual(['lora', 'deviceBatchSize']);
    const unevaluated = train.options.parse({ trainer: 'student', keepBest: true, earlyStoppingPatience: 3 });
    expect(await paths(unevaluated)).toEqual(['earlyStoppingPatience', 'keepBest']);
    const evaluated = train.options.parse({ trainer: 'student', evaluateEverySteps: 5 });
    expect(await paths(evaluated)).toEqual(['evaluateEverySteps']);
  });

  it('refuses steps that forward passes of one size do not fill before it runs', async () => {
    const problems = (deviceBatchSize: number) => {
      const options = train.options.parse({ trainer: 'student', globalBatchSize: 10, deviceBatchSize });
      return train.check?.(options, { recipeFolder: '.' });
    };
    expect(await problems(4)).toMatchObject([
      { path: 'deviceBatchSize', message: 'globalBatchSize 10 must be a multiple of deviceBatchSize 4.' },
    ]);
    expect(await problems(5)).toEqual([]);
  });
});
