import type { Trainer, TrainingRequest } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { train } from './train.stage.js';

function recordingTrainer() {
  const requests: TrainingRequest[] = [];
  const exports: unknown[] = [];
  const refuse = () => Promise.reject(new Error('not asked for here'));
  const trainer: Trainer = {
    name: 'student',
    describe: refuse,
    inspect: refuse,
    generate: () => {
      throw new Error('not asked for here');
    },
    train: async (request) => {
      requests.push(request);
      return { modelFolder: '/scratch/model', steps: 315, finalLoss: 0.25 };
    },
    export: async (request) => {
      exports.push(request);
      return { files: [], parameters: 1, architecture: 'LlamaForCausalLM', contextLength: 8 };
    },
  };
  return { trainer, requests, exports };
}

const rows = [{ id: '1', prompt: 'a', completion: 'b' }];
const dataset = memoryTable({ id: 'VARCHAR', prompt: 'VARCHAR', completion: 'VARCHAR' }, rows);
const model = memoryArtifact('model', '/models/base');

describe('sft/train', () => {
  it("asks for s1's hyperparameters where the recipe says nothing", async () => {
    const { trainer, requests } = recordingTrainer();
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
          checkpointsKept: 2,
          logEverySteps: 1,
          evaluateEverySteps: 0,
        },
      },
    ]);
    expect(result.outputs.model).toMatchObject({
      folder: '/scratch/model',
      metadata: { baseModel: model.uri, dataset: dataset.uri, steps: 315, finalLoss: 0.25 },
    });
    expect(result.outputs.model?.metadata.hyperparameters).not.toHaveProperty('checkpointEverySteps');
  });

  it('merges an adapter into a whole model', async () => {
    const { trainer, requests, exports } = recordingTrainer();
    const options = { trainer: 'student', method: 'lora', lora: { rank: 8 } };
    const result = await runStage(train, { options, inputs: { model, dataset }, trainer });
    expect(requests[0]?.hyperparameters.lora).toEqual({ rank: 8, alpha: 32, dropout: 0, targetModules: [] });
    expect(exports).toEqual([
      {
        model: { kind: 'folder', folder: '/models/base', adapterFolder: '/scratch/model' },
        outputFolder: result.outputs.model?.folder,
      },
    ]);
  });

  it.each([
    ['missing_column', memoryTable({ text: 'VARCHAR' }, [{ text: 'a' }]), {}],
    ['dataset_empty', memoryTable(dataset.columns, []), {}],
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

  it('finds options that contradict each other before it runs', () => {
    const options = train.options.parse({ trainer: 'student', lora: {}, globalBatchSize: 4, deviceBatchSize: 8 });
    const problems = train.check?.(options, { recipeFolder: '.' }) ?? [];
    expect(problems.map((problem) => problem.path)).toEqual(['lora', 'deviceBatchSize']);
  });
});
