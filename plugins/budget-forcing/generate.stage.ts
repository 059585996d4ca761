import { defineStage, input, isUserError, UserError } from 'simmerkit';
import type { Backend } from './answer-problems.js';
import { askingProblems } from './asking-problems.js';
import { generationColumns } from './generation-rows.js';
import { mostTokens, samplesOf } from './most-tokens.js';
import { type GenerateOptions, generateOptions, problemColumns, type ServerOptions } from './options.js';
import type { ServedSamples } from './served-samples.js';
import { serverProblems } from './server-problems.js';

export const generate = defineStage({
  description:
    'Has a model answer problems under thinking budgets: maxima, waits in place of the end of thinking, and baselines.',
  options: generateOptions,
  inputs: {
    model: input('model', 'The model that answers.'),
    dataset: input(
      'dataset',
      'Problems: `id`, `question`, the `history` that load kept, and the gold answer where there is one.',
    ),
  },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: (options, where) => [
    ...askingProblems(options),
    ...(options.server === undefined
      ? trainerProblems(options)
      : serverProblems(options.server, options, where, 'server.')),
  ],
  reads: (options) => ({ dataset: problemColumns(options) }),
  columns: () => ({ generations: Object.keys(generationColumns) }),
  estimate: async (options, { inputs, trainer, kept }) => {
    const [model = {}, data = {}] = [inputs.model, inputs.dataset].flat();
    const prompts = typeof data.rows === 'number' ? data.rows : undefined;
    const outputs = prompts === undefined ? {} : { generations: { rows: prompts * samplesOf(options) } };
    if (options.server !== undefined) {
      const { servedEstimate } = await import('./served-samples.js');
      const weights = typeof model.uri === 'string' ? model.uri : undefined;
      return { ...(await servedEstimate(options, options.server, prompts, kept, weights)), outputs };
    }
    const { trainer: name = '', maxBatchSize, precision } = options;
    const work = await trainer(name)({
      kind: 'generation',
      model,
      prompts,
      ...mostTokens(options),
      ...(maxBatchSize === undefined ? {} : { batchSize: maxBatchSize }),
      ...(precision === undefined ? {} : { precision }),
    });
    return { ...work, outputs };
  },
  async run(context) {
    const { answerProblems } = await import('./answer-problems.js');
    const { options, inputs } = context;
    const { server, trainer: name = '', maxBatchSize, precision } = options;
    const { folder } = inputs.model;
    const fromTrainer = async (): Promise<Backend> => {
      const trainer = await context.trainer(name);
      return {
        generate: (request) =>
          trainer.generate({
            ...request,
            model: { kind: 'folder', folder },
            ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
            ...(precision === undefined ? {} : { precision }),
          }),
      };
    };
    const fromServer = async (serving: ServerOptions, served: ServedSamples): Promise<Backend> => {
      const { openServer, requireServed } = await import('./server-backend.js');
      await requireServed(context, serving);
      context.log.info(`${serving.url} is taken to serve ${folder} as ${serving.model}.`);
      return openServer(context, serving, served, folder);
    };
    const from = async () => {
      if (server === undefined) return { backend: fromTrainer };
      const { servedSamples } = await import('./served-samples.js');
      const served = servedSamples(options, server, inputs.model.uri);
      return { served, backend: () => fromServer(server, served) };
    };
    try {
      const generations = await answerProblems(context, {
        dataset: inputs.dataset,
        model: inputs.model.uri,
        isTrained: 'baseModel' in inputs.model.metadata,
        ...(await from()),
      });
      return { generations };
    } catch (error) {
      throw server === undefined ? error : withCommand(error, server, folder);
    }
  },
});

function trainerProblems({ trainer }: GenerateOptions) {
  if (trainer !== undefined) return [];
  return [
    {
      path: 'trainer',
      code: 'model_missing',
      message: 'Nobody answers: neither `trainer` nor `server` is given.',
      hint: 'Add trainer: and the name of a trainer of the recipe, or server: { url, model }.',
    },
  ];
}

/** A model that the run itself made can be served only from here on. */
function withCommand(error: unknown, { model }: ServerOptions, folder: string): unknown {
  if (!isUserError(error) || !['endpoint_unreachable', 'model_not_served'].includes(error.code)) return error;
  return new UserError(error.code, error.message, {
    kind: 'environment',
    cause: error,
    hint: `Serve the model, e.g. vllm serve ${folder} --served-model-name ${model}; then resume the run.`,
  });
}
