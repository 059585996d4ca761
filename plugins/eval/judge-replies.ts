import {
  brokenOffReasons,
  chatMessage,
  costOf,
  type KeptReply,
  type Log,
  mostTokens,
  PaidReplies,
  replyDigest,
  type TokenPrice,
  usageOf,
  z,
} from 'simmerkit';

interface JudgeReply extends KeptReply {
  readonly text: string;
}

/** A question to a judge, as its server is sent it, but for `max_tokens` and the model. */
export interface JudgeQuestion {
  readonly messages: readonly { readonly role: 'user'; readonly content: string }[];
  readonly temperature: number;
  readonly seed: number;
}

/** What a judge said: nobody pays for the same question again. */
export class JudgeReplies implements AsyncDisposable {
  private constructor(
    private readonly replies: PaidReplies<JudgeReply>,
    private readonly options: { readonly maxTokens: number; readonly price: TokenPrice | undefined; readonly log: Log },
  ) {}

  /** @param folder the grader's, beside those of other runs that ask the same model */
  static async open(folder: string, options: JudgeReplies['options']): Promise<JudgeReplies> {
    return new JudgeReplies(await PaidReplies.open<JudgeReply>(folder, options.log), options);
  }

  get isEmpty(): boolean {
    return this.replies.isEmpty;
  }

  /** The text of the reply to a question, which is sent where nobody was paid for it. */
  async to(question: JudgeQuestion, send: () => Promise<unknown>, signal: AbortSignal): Promise<string> {
    const { maxTokens, price } = this.options;
    const of = replyDigest(question);
    const ask = async () => {
      const response = await send();
      const { text, finish } = saidIn(response);
      const { input: inputTokens, output: outputTokens } =
        usageOf(response) ?? mostTokens({ max_tokens: maxTokens, ...question });
      const dollars = price === undefined ? 0 : costOf({ input: inputTokens, output: outputTokens }, price);
      return {
        reply: { of, id: of, text, finish, inputTokens, outputTokens, dollars, maxTokens },
        // What says nothing, or was broken off, is a server's fault, and may be another time.
        isKept: finish === 'length' || (text.trim() !== '' && !brokenOffReasons.includes(finish)),
      };
    };
    return (await this.replies.to(of, maxTokens, ask, signal)).text;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.replies[Symbol.asyncDispose]();
  }
}

const responseSchema = z.object({
  choices: z.array(z.object({ finish_reason: z.string().nullish(), message: chatMessage })).min(1),
});

function saidIn(response: unknown): { readonly text: string; readonly finish: string } {
  const choice = responseSchema.safeParse(response).data?.choices[0];
  return { text: choice?.message.content ?? '', finish: choice?.finish_reason ?? 'stop' };
}
