import { defineStage, input } from 'simmerkit';
import { askingProblems } from './asking-problems.js';
import { mostTokens } from './most-tokens.js';
import { generateOptions } from './options.js';

export const generate = defineStage({
  description:
    'Has a model answer problems under thinking budgets: maxima, waits in place of the end of thinking, and baselines.',
  options: generateOptions,
  inputs: {
    model: input('model', 'The model that answers.'),
    dataset: input('dataset', 'Problems: `id`, `question`, and the gold answer where there is one.'),
  },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: (options) => askingProblems(options),
  estimate: (options, { inputs, trainer }) => {
    const [model = {}, data = {}] = [inputs.model, inputs.dataset].flat();
    const prompts = typeof data.rows === 'number' ? data.rows : undefined;
    const { maxBatchSize, precision } = options;
    return trainer(options.trainer)({
      kind: 'generation',
      model,
      prompts,
      ...mostTokens(options),
      ...(maxBatchSize === undefined ? {} : { batchSize: maxBatchSize }),
      ...(precision === undefined ? {} : { precision }),
    });
  },
  async run(context) {
    const { answerProblems } = await import('./answer-problems.js');
    const { options, inputs } = context;
    const generations = await answerProblems(context, {
      dataset: inputs.dataset,
      model: inputs.model.uri,
      backend: async () => {
        const trainer = await context.trainer(options.trainer);
        return {
          generate: (request) =>
            trainer.generate({
              ...request,
              model: { kind: 'folder', folder: inputs.model.folder },
              ...(options.maxBatchSize === undefined ? {} : { maxBatchSize: options.maxBatchSize }),
              ...(options.precision === undefined ? {} : { precision: options.precision }),
            }),
        };
      },
    });
    return { generations };
  },
});
