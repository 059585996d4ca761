import { defineStage, input, type StageContext } from 'simmerkit';
import type { Backend } from './answer-problems.js';
import { askingProblems } from './asking-problems.js';
import { chatTemplates, type EndpointOptions, endpointOptions } from './options.js';

type Context = StageContext<EndpointOptions, Record<never, never>>;

const priceMissing = {
  path: 'price',
  code: 'price_missing',
  message: 'The budget limits dollars, and what the server answers has no price.',
  hint: 'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars; zeros for a server of your own.',
};

export const openAiCompatible = defineStage({
  description: 'The same as generate, by a server with an OpenAI-compatible API: vLLM, SGLang, llama.cpp and others.',
  options: endpointOptions,
  inputs: { dataset: input('dataset', 'Problems: `id`, `question`, and the gold answer where there is one.') },
  outputs: { generations: { type: 'generations', description: 'One row per problem, policy and sample.' } },
  check: (options, { isUsdLimited }) => [
    ...askingProblems(options),
    ...budgetProblems(options),
    ...(isUsdLimited === true && options.price === undefined ? [priceMissing] : []),
  ],
  async run(context) {
    const { answerProblems } = await import('./answer-problems.js');
    const { options, inputs } = context;
    const generations = await answerProblems(context, {
      dataset: inputs.dataset,
      model: options.model,
      backend: () => openBackend(context),
    });
    return { generations };
  },
});

/** Finds out what the server is, and how it can be held to budgets. */
async function openBackend(context: Pick<Context, 'options' | 'signal' | 'log' | 'spending'>): Promise<Backend> {
  const { options, signal, log, spending } = context;
  const { OpenAiEndpoint } = await import('simmerkit');
  const { Completions, serverKind } = await import('./completions.js');
  const { chatRenderer, continuationSampler } = await import('./continuation-sampler.js');
  const { endpointBackend } = await import('./endpoint-backend.js');
  const { requireServerBudget, serverBudgetSampler, whyNoServerBudget } = await import('./server-budget-sampler.js');
  const { ServerTokens } = await import('./server-tokens.js');
  const { model, longestThinking, chatTemplate, concurrency } = options;
  const endpoint = new OpenAiEndpoint({
    ...options,
    signal,
    cost: { spending, source: model, price: options.price },
  });
  const kind = await serverKind(endpoint);
  // What is only counted costs nothing.
  const tokens = new ServerTokens(new OpenAiEndpoint({ ...options, signal }), model);
  const name = `${options.url} is ${kind === 'other' ? 'a server that does not say its kind' : kind}`;
  const own = { endpoint, model, kind, tokens, longestThinking };
  if (options.budgets === 'server') await requireServerBudget(own);
  const why = await whyContinuation(options, () => whyNoServerBudget(own));
  if (why === undefined) {
    log.info(`${name}. It holds budgets by its own parameter.`);
    return endpointBackend(serverBudgetSampler(own), concurrency);
  }
  log.info(`${name}. Budgets are held by continuation: ${why}.`);
  const sampler = continuationSampler({
    completions: new Completions(endpoint, model, kind),
    tokens,
    render: chatRenderer(typeof chatTemplate === 'string' ? chatTemplates[chatTemplate] : chatTemplate),
    longestThinking,
  });
  return endpointBackend(sampler, concurrency);
}

/** Why budgets are held by continuation; undefined where the server holds them. One sweep is held in one way. */
async function whyContinuation(
  options: EndpointOptions,
  whyNoServerBudget: () => Promise<string | undefined>,
): Promise<string | undefined> {
  if (options.budgets === 'server') return undefined;
  if (options.budgets === 'continuation') return 'the recipe says so';
  if (options.thinkingFormat === 'none') return 'there is no thinking';
  if (typeof options.thinkingFormat !== 'string') return 'the recipe has a thinking format of its own';
  return extendsThinking(options) ? 'no server makes thinking longer' : await whyNoServerBudget();
}

function extendsThinking({ sweep, minThinkingTokens }: EndpointOptions): boolean {
  return minThinkingTokens !== undefined || sweep.ignore.some((count) => count > 0);
}

function budgetProblems(options: EndpointOptions) {
  if (options.budgets !== 'server' || (!extendsThinking(options) && options.thinkingFormat !== 'none')) return [];
  return [
    {
      path: 'budgets',
      code: 'server_cannot_extend',
      message:
        'A server holds maxima by itself, nothing else: no minimum, nothing ignored, no answers without thinking.',
      hint: 'Set `budgets: continuation`, or leave `ignore` and `minThinkingTokens` out.',
    },
  ];
}
