import { defineStage, input } from 'simmerkit';
import { askingProblems } from './asking-problems.js';
import { chatTemplates, endpointOptions } from './options.js';

export const openAiCompatible = defineStage({
  description: 'The same as generate, by a server with an OpenAI-compatible API: vLLM, SGLang, llama.cpp and others.',
  options: endpointOptions,
  inputs: { dataset: input('dataset', 'Problems: `id`, `question`, and the gold answer where there is one.') },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: (options) => askingProblems(options),
  async run(context) {
    const { OpenAiEndpoint } = await import('simmerkit');
    const { answerProblems } = await import('./answer-problems.js');
    const { Completions, serverKind } = await import('./completions.js');
    const { chatRenderer, endpointBackend } = await import('./endpoint-sampler.js');
    const { options, inputs, signal, log, spending } = context;
    const generations = await answerProblems(context, {
      dataset: inputs.dataset,
      model: options.model,
      backend: async () => {
        const endpoint = new OpenAiEndpoint({
          ...options,
          signal,
          cost: { spending, source: options.model, price: options.price },
        });
        const kind = await serverKind(endpoint);
        log.info(`${options.url} is ${kind === 'other' ? 'a server that does not say its kind' : kind}.`);
        const { chatTemplate } = options;
        return endpointBackend({
          completions: new Completions(endpoint, options.model, kind),
          render: chatRenderer(typeof chatTemplate === 'string' ? chatTemplates[chatTemplate] : chatTemplate),
          concurrency: options.concurrency,
          longestThinking: options.longestThinking,
        });
      },
    });
    return { generations };
  },
});
