import { OpenAiEndpoint, type StageContext, UserError, z } from 'simmerkit';
import type { Backend } from './answer-problems.js';
import { Completions, serverKind } from './completions.js';
import { chatRenderer, continuationSampler } from './continuation-sampler.js';
import { endpointBackend } from './endpoint-backend.js';
import { type AskingOptions, chatTemplates, type ServerOptions } from './options.js';
import { ownSystemMessage } from './own-system-message.js';
import { PaidPosts } from './paid-posts.js';
import type { ServedSamples } from './served-samples.js';
import { requireServerBudget, serverBudgetSampler, whyNoServerBudget } from './server-budget-sampler.js';
import { extendsThinking } from './server-problems.js';
import { ServerTokens } from './server-tokens.js';

type Context = Pick<
  StageContext<AskingOptions, Record<never, never>>,
  'options' | 'signal' | 'log' | 'spending' | 'keptFolder'
>;

/**
 * Finds out what the server is, and how it can be held to budgets. The caller disposes of the backend.
 * @param modelFolder of the model that it is taken to serve, where it is known
 */
export async function openServer(
  context: Context,
  server: ServerOptions,
  { of, isPaid }: ServedSamples,
  modelFolder?: string,
): Promise<Backend> {
  const { options, signal, log, spending } = context;
  const { model, longestThinking, chatTemplate, concurrency } = server;
  const endpoint = new OpenAiEndpoint({
    ...server,
    signal,
    cost: { spending, source: model, price: server.price },
    log,
  });
  const kind = await serverKind(endpoint);
  // What is only counted costs nothing.
  const tokens = new ServerTokens(new OpenAiEndpoint({ ...server, signal }), model);
  const name = `${server.url} is ${kind === 'other' ? 'a server that does not say its kind' : kind}`;
  const own = { endpoint, model, kind, tokens, longestThinking };
  if (server.budgets === 'server') await requireServerBudget(own);
  const why = await whyContinuation(server, options, () => whyNoServerBudget(own));
  const openPosts = async () =>
    isPaid ? PaidPosts.open(await context.keptFolder(of), endpoint, { log, signal, price: server.price }) : endpoint;
  if (why === undefined) {
    log.info(`${name}. It holds budgets by its own parameter.`);
    const posts = await openPosts();
    return endpointBackend(serverBudgetSampler({ ...own, endpoint: posts }), concurrency, posts);
  }
  log.info(`${name}. Budgets are held by continuation: ${why}.`);
  if (chatTemplate === 'chatml' && options.systemMessage === undefined && modelFolder !== undefined) {
    const own = await ownSystemMessage(modelFolder);
    if (own !== undefined) {
      log.warning(
        `The model's own chat template begins with a system message, and chatTemplate chatml has none: give systemMessage ` +
          `${JSON.stringify(own)}, or the model is asked otherwise than by a trainer.`,
      );
    }
  }
  const posts = await openPosts();
  const sampler = continuationSampler({
    completions: new Completions(posts, model, kind),
    tokens,
    render: chatRenderer(typeof chatTemplate === 'string' ? chatTemplates[chatTemplate] : chatTemplate),
    longestThinking,
  });
  return endpointBackend(sampler, concurrency, posts);
}

const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });

/** @throws UserError `model_not_served` where the server lists what it serves, and the model is not among it */
export async function requireServed({ signal }: Pick<Context, 'signal'>, server: ServerOptions): Promise<void> {
  const listed = modelsSchema.safeParse(await new OpenAiEndpoint({ ...server, signal }).get('models'));
  const served = listed.data?.data.map(({ id }) => id);
  if (served === undefined || served.includes(server.model)) return;
  throw new UserError('model_not_served', `${server.url} serves ${served.join(', ')}, and not ${server.model}.`, {
    kind: 'environment',
  });
}

/** Why budgets are held by continuation; undefined where the server holds them. One sweep is held in one way. */
async function whyContinuation(
  { budgets }: ServerOptions,
  options: AskingOptions,
  whyNoServerBudget: () => Promise<string | undefined>,
): Promise<string | undefined> {
  if (budgets === 'server') return undefined;
  if (budgets === 'continuation') return 'the recipe says so';
  if (options.thinkingFormat === 'none') return 'there is no thinking';
  if (typeof options.thinkingFormat !== 'string') return 'the recipe has a thinking format of its own';
  return extendsThinking(options) ? 'no server makes thinking longer' : await whyNoServerBudget();
}
