import { chatMessage, EndpointRefusal, isUserError, type Prompt, type ThinkingPolicy, UserError, z } from 'simmerkit';
import { type ServerKind, samplingFields } from './completions.js';
import { type EndpointRequest, type PromptSampler, sampleSeed } from './endpoint-backend.js';
import type { KeptSample } from './generation-rows.js';
import type { Posts } from './paid-posts.js';
import type { ServerTokens } from './server-tokens.js';

/** How each server is told of a thinking budget in tokens, in a request of `/v1/chat/completions`. */
const budgetFields: Readonly<Partial<Record<ServerKind, (tokens: number) => Readonly<Record<string, unknown>>>>> = {
  vllm: (tokens) => ({ thinking_token_budget: tokens, skip_special_tokens: false }),
  sglang: (tokens) => ({ custom_params: { thinking_budget: tokens }, skip_special_tokens: false }),
  'llama.cpp': (tokens) => ({ thinking_budget_tokens: tokens, cache_prompt: true }),
};

/** What has to be done for a server to hold budgets. */
const remedies: Readonly<Partial<Record<ServerKind, string>>> = {
  vllm: 'Start vLLM with --reasoning-parser and --reasoning-config, and a model with a thinking template.',
  sglang: 'Start SGLang with --reasoning-parser and --enable-strict-thinking.',
  'llama.cpp': 'Start llama.cpp with a model, or a --chat-template-file, whose template has thinking.',
};

/** Tokens by which a server may miss a budget: its end marker, and white space around it, are counted in or not. */
const budgetSlack = 4;
/** Room for the end of thinking between thinking and answer, in tokens. */
const markerRoom = 16;
const probeBudget = 8;
const probeTokens = 48;

interface ServerBudgets {
  readonly endpoint: Posts;
  readonly model: string;
  readonly kind: ServerKind;
  readonly tokens: ServerTokens;
  /** Thinking tokens where a policy has no maximum. */
  readonly longestThinking: number;
}

const replySchema = z.object({
  choices: z.array(z.object({ finish_reason: z.string().nullish(), message: chatMessage })).min(1),
  usage: z.object({ prompt_tokens: z.int().min(0) }),
});

/**
 * Why a server does not hold thinking budgets by itself; undefined where it does. Asked, not believed: a server that does
 * not know its parameter ignores it in silence.
 */
export async function whyNoServerBudget(budgets: ServerBudgets): Promise<string | undefined> {
  if (budgetFields[budgets.kind] === undefined) return 'it has no parameter for a thinking budget';
  try {
    const reply = await ask(budgets, [{ role: 'user', content: 'What is 12 times 13?' }], probeBudget, probeTokens, {
      temperature: 0,
    });
    if (reply.thinking === undefined) return 'it does not tell thinking from answer';
    const thinking = await budgets.tokens.count(reply.thinking);
    if (thinking === undefined) return 'it does not count tokens';
    return thinking > probeBudget + budgetSlack
      ? `it thought ${thinking} tokens where it was allowed ${probeBudget}`
      : undefined;
  } catch (error) {
    if (error instanceof EndpointRefusal || (isUserError(error) && error.code === 'endpoint_cannot')) {
      return error.message.replace(/\.$/, '');
    }
    throw error;
  }
}

/** @throws UserError `endpoint_cannot` where the server does not hold budgets by itself */
export async function requireServerBudget(budgets: ServerBudgets): Promise<void> {
  const why = await whyNoServerBudget(budgets);
  if (why === undefined) return;
  throw new UserError('endpoint_cannot', `The server does not hold thinking budgets by itself: ${why}.`, {
    kind: 'environment',
    hint: `${remedies[budgets.kind] ?? 'Use vLLM, SGLang or llama.cpp.'} Or set \`budgets: continuation\`.`,
  });
}

/** Maxima that the server holds by its own parameter, in its own chat template; each is decoded by itself. */
export function serverBudgetSampler(budgets: ServerBudgets): PromptSampler {
  return async function* (request, prompt, index) {
    for (const policy of request.policies) yield await sampleUnder(policy, request, prompt, index, budgets);
  };
}

async function sampleUnder(
  policy: ThinkingPolicy,
  request: EndpointRequest,
  prompt: Prompt,
  index: number,
  budgets: ServerBudgets,
): Promise<KeptSample> {
  if (prompt.prompt.kind !== 'messages') throw new Error('a server renders messages');
  const { sampling, thinkingFormat } = request;
  const limit = policy.maxThinkingTokens ?? budgets.longestThinking;
  const seed = sampleSeed(request, prompt, index);
  const reply = await ask(
    budgets,
    prompt.prompt.messages,
    limit,
    limit + markerRoom + sampling.maxAnswerTokens,
    { ...samplingFields(sampling), ...(sampling.stop.length === 0 ? {} : { stop: sampling.stop }) },
    seed,
  );
  const thinking = reply.thinking ?? '';
  const [tokens = 0, answerTokens = 0] = await Promise.all([
    budgets.tokens.count(thinking),
    budgets.tokens.count(reply.answer),
  ]);
  // A server does not say who ended the thinking: what came this near to its limit was ended by it.
  const isForced = tokens + budgetSlack > limit;
  const end = thinkingFormat?.end ?? '';
  const characterOffset = [...thinking].length;
  const disputed =
    tokens > limit + budgetSlack ? `${tokens} thinking tokens under a budget of ${limit}` : reply.disputed;
  return {
    promptId: prompt.id,
    policyId: policy.id,
    sampleIndex: index,
    seed: BigInt(seed),
    promptTokens: reply.promptTokens,
    thinkingTokenIds: [],
    thinking,
    answerTokenIds: [],
    answer: reply.answer,
    interventions: isForced ? [{ kind: 'ended', position: tokens, tokenIds: [], text: end, characterOffset }] : [],
    thinkingEnd: isForced ? 'forced' : 'natural',
    finishReason: reply.finished ? 'stop' : 'length',
    sharedThinkingTokens: 0,
    counts: { thinking: tokens, answer: answerTokens },
    budgetHeldBy: 'server',
    ...(disputed === undefined ? {} : { disputed }),
  };
}

interface Reply {
  /** Undefined where the server does not tell thinking from answer. */
  readonly thinking: string | undefined;
  readonly answer: string;
  readonly promptTokens: number;
  readonly finished: boolean;
  readonly disputed?: string;
}

async function ask(
  { endpoint, model, kind }: ServerBudgets,
  messages: readonly { readonly role: string; readonly content: string }[],
  budget: number,
  maxTokens: number,
  fields: Readonly<Record<string, unknown>>,
  seed = 0,
): Promise<Reply> {
  const response = await endpoint.post('chat/completions', {
    model,
    messages,
    max_tokens: maxTokens,
    seed,
    ...fields,
    ...budgetFields[kind]?.(budget),
  });
  const parsed = replySchema.safeParse(response);
  if (!parsed.success) {
    throw new UserError('endpoint_cannot', `The server's reply has no ${parsed.error.issues[0]?.path.join('.')}.`, {
      kind: 'environment',
      hint: 'Use a server whose chat completions are as those of vLLM, SGLang or llama.cpp.',
    });
  }
  const [choice] = parsed.data.choices;
  const reason = choice?.finish_reason ?? null;
  const message = choice?.message;
  return {
    thinking: message?.thinking,
    answer: message?.content ?? '',
    promptTokens: parsed.data.usage.prompt_tokens,
    finished: reason === 'stop',
    ...(reason === 'stop' || reason === 'length' ? {} : { disputed: `finish_reason ${reason}` }),
  };
}
