import {
  brokenOffReasons,
  chatMessage,
  costOf,
  type EndpointBody,
  type KeptReply,
  type Log,
  type OpenAiEndpoint,
  PaidReplies,
  replyDigest,
  type TokenPrice,
  usageOf,
  z,
} from 'simmerkit';

interface KeptResponse extends KeptReply {
  readonly response: unknown;
}

/** What is asked: a server, or what it was paid for before. */
export type Posts = Pick<OpenAiEndpoint, 'post'> & Partial<AsyncDisposable>;

/**
 * What a server is paid for, request by request: a sample takes several, and one that is broken off between two of them
 * pays for none again.
 */
export class PaidPosts implements Posts, AsyncDisposable {
  private constructor(
    private readonly endpoint: Posts,
    private readonly replies: PaidReplies<KeptResponse>,
    private readonly options: { readonly signal: AbortSignal; readonly price: TokenPrice | undefined },
  ) {}

  /** @param folder that of the samples, beside those of other runs */
  static async open(
    folder: string,
    endpoint: Posts,
    { log, ...options }: PaidPosts['options'] & { readonly log: Log },
  ): Promise<PaidPosts> {
    return new PaidPosts(endpoint, await PaidReplies.open<KeptResponse>(folder, log), options);
  }

  async post(path: string, body: EndpointBody): Promise<unknown> {
    const { signal, price } = this.options;
    const of = replyDigest([path, body]);
    const maxTokens = Number(body.max_tokens);
    const ask = async () => {
      const response = await this.endpoint.post(path, body);
      const { input: inputTokens, output: outputTokens } = usageOf(response) ?? { input: 0, output: 0 };
      const dollars = price === undefined ? 0 : costOf({ input: inputTokens, output: outputTokens }, price);
      return {
        // Of this `maxTokens` alone, which is in what it is a reply to.
        reply: { of, id: of, response, finish: 'stop', inputTokens, outputTokens, dollars, maxTokens },
        isKept: isWhole(path, response),
      };
    };
    return (await this.replies.to(of, maxTokens, ask, signal)).response;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.replies[Symbol.asyncDispose]();
  }
}

const finish_reason = z.string().nullish();
const responseSchemas = {
  completions: z.object({ choices: z.array(z.object({ finish_reason, text: z.string() })).min(1) }),
  chat: z.object({ choices: z.array(z.object({ finish_reason, message: chatMessage })).min(1) }),
};

/** What lacks something, or was broken off, is a server's fault, and may be another time. */
function isWhole(path: string, response: unknown): boolean {
  const schema = responseSchemas[path === 'completions' ? 'completions' : 'chat'];
  const [choice] = schema.safeParse(response).data?.choices ?? [];
  return (
    choice !== undefined && usageOf(response) !== undefined && !brokenOffReasons.includes(choice.finish_reason ?? '')
  );
}
