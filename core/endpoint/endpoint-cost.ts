import { z } from 'zod';
import type { Spending, Spent } from '../plugin/spending.js';

/** In dollars for a million tokens. */
export interface TokenPrice {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
}

/** The option `price` of a stage or grader that asks a server. */
export const tokenPrice = z.strictObject({
  inputPerMillion: z.number().min(0).describe('Dollars for a million tokens of prompts.'),
  outputPerMillion: z.number().min(0).describe('Dollars for a million tokens of replies, thinking included.'),
});

/** What a server's answers cost, and where that is counted. */
export interface EndpointCost {
  readonly spending: Spending;
  /** What events and the report call it: the model. */
  readonly source: string;
  /** Undefined: not known, which a budget in dollars refuses. */
  readonly price: TokenPrice | undefined;
}

/** What a request took of a server. */
interface Tokens {
  readonly input: number;
  readonly output: number;
}

/** Chat templates add some to a prompt's own text. */
const templateTokens = 256;

/** Gateways that gave up waiting: what they waited for may have been billed. */
const perhapsBilled: ReadonlySet<number> = new Set([408, 502, 504]);
/** No connection: the server never saw the request. */
const neverSent: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

const requestSchema = z.object({ max_tokens: z.number(), n: z.number().default(1) });
const repliesSchema = z.object({ choices: z.array(z.unknown()).min(1) });
const count = z.int().min(0);
const usageSchema = z.object({
  usage: z.object({ prompt_tokens: count, completion_tokens: count, total_tokens: count.optional().catch(undefined) }),
});

/** The most tokens that a request can take: no token is shorter than a byte. */
export function mostTokens(body: Readonly<Record<string, unknown>>): Tokens {
  const { max_tokens: output, n } = requestSchema.parse(body);
  return {
    input: Buffer.byteLength(JSON.stringify(body.messages ?? body.prompt)) + templateTokens,
    output: output * n,
  };
}

/** What the server counts; undefined where it does not, or counts nothing, which no reply takes, or less. */
export function usageOf(body: unknown): Tokens | undefined {
  const { usage } = usageSchema.safeParse(body).data ?? {};
  if (usage === undefined) return undefined;
  const { prompt_tokens: input, completion_tokens: said, total_tokens: total = 0 } = usage;
  // The APIs of Gemini and Grok bill thinking as output, and count it in the total alone.
  const output = Math.max(said, total - input);
  return input + output === 0 ? undefined : { input, output };
}

/** Whether an answer has replies, and no count of their tokens. */
export function isUncounted(body: unknown): boolean {
  return repliesSchema.safeParse(body).success && usageOf(body) === undefined;
}

/** In dollars. */
export function costOf({ input, output }: Tokens, price: TokenPrice): number {
  return (input * price.inputPerMillion + output * price.outputPerMillion) / 1e6;
}

/** What a server did: it answered, with a status of its own, or the request broke off with a cause. */
export type EndpointEnd =
  | { readonly kind: 'neverSent' }
  | { readonly kind: 'answered'; readonly body: unknown }
  | { readonly kind: 'refused'; readonly status: number }
  | { readonly kind: 'brokenOff'; readonly cause: unknown };

/** What a request did cost: by the server's own count; the most that it could where nobody knows. */
export function spentOn(end: EndpointEnd, most: Tokens, price: TokenPrice | undefined): Spent {
  const tokens = tokensOf(end, most);
  return {
    ...(price === undefined ? {} : { usd: costOf(tokens, price) }),
    inputTokens: tokens.input,
    outputTokens: tokens.output,
  };
}

/** Whether a server may count something for a request that it did not answer as asked. */
export function mayBeBilled(end: EndpointEnd): boolean {
  return tokensOf(end, { input: 1, output: 1 }).output > 0;
}

function tokensOf(end: EndpointEnd, most: Tokens): Tokens {
  const none = { input: 0, output: 0 };
  switch (end.kind) {
    case 'neverSent':
      return none;
    case 'answered':
      return usageOf(end.body) ?? most;
    case 'refused':
      return perhapsBilled.has(end.status) ? most : none;
    case 'brokenOff': {
      const { code } = (end.cause ?? {}) as { readonly code?: unknown };
      return typeof code === 'string' && neverSent.has(code) ? none : most;
    }
  }
}
