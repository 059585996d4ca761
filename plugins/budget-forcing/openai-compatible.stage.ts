import { defineStage, input } from 'simmerkit';
import { askingProblems } from './asking-problems.js';
import { generationColumns } from './generation-rows.js';
import { samplesOf } from './most-tokens.js';
import { endpointOptions, problemColumns } from './options.js';
import { serverProblems } from './server-problems.js';

export const openAiCompatible = defineStage({
  description: 'The same as generate, by a server with an OpenAI-compatible API: vLLM, SGLang, llama.cpp and others.',
  options: endpointOptions,
  inputs: {
    dataset: input(
      'dataset',
      'Problems: `id`, `question`, the `history` that load kept, and the gold answer where there is one.',
    ),
  },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: (options, where) => [...askingProblems(options), ...serverProblems(options, options, where)],
  reads: (options) => ({ dataset: problemColumns(options) }),
  columns: () => ({ generations: Object.keys(generationColumns) }),
  estimate: async (options, { inputs, kept }) => {
    const { servedEstimate } = await import('./served-samples.js');
    const [{ rows } = {}] = [inputs.dataset].flat();
    const problems = typeof rows === 'number' ? rows : undefined;
    const outputs = problems === undefined ? {} : { generations: { rows: problems * samplesOf(options) } };
    return { ...(await servedEstimate(options, options, problems, kept)), outputs };
  },
  async run(context) {
    const { answerProblems } = await import('./answer-problems.js');
    const { servedSamples } = await import('./served-samples.js');
    const { openServer } = await import('./server-backend.js');
    const { options, inputs } = context;
    const served = servedSamples(options, options);
    const generations = await answerProblems(context, {
      dataset: inputs.dataset,
      model: options.model,
      served,
      backend: () => openServer(context, options, served),
    });
    return { generations };
  },
});
