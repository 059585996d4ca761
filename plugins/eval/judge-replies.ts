import {
  brokenOffReasons,
  chatMessage,
  costOf,
  EarlierReplies,
  type KeptReply,
  type Log,
  ReplyJournal,
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

/**
 * What a judge said, on the disk before it counts: neither a run that goes on, nor a later one, nor another stage pays for
 * the same question again. It may be asked many things at a time.
 */
export class JudgeReplies implements AsyncDisposable {
  /** Questions that are asked now, by their digests. */
  private readonly underWay = new Map<string, Promise<string>>();
  private taken = 0;

  private constructor(
    private readonly journal: ReplyJournal<JudgeReply>,
    private readonly earlier: EarlierReplies<JudgeReply>,
    private readonly options: { readonly maxTokens: number; readonly price: TokenPrice | undefined; readonly log: Log },
  ) {}

  /** @param folder the grader's, beside those of other runs that ask the same model */
  static async open(folder: string, options: JudgeReplies['options']): Promise<JudgeReplies> {
    const earlier = await EarlierReplies.beside<JudgeReply>(folder);
    return new JudgeReplies(await ReplyJournal.open<JudgeReply>(folder, options.log), earlier, options);
  }

  get isEmpty(): boolean {
    return this.journal.size === 0;
  }

  /** The text of the reply to a question, which is sent where nobody was paid for it. */
  async to(question: JudgeQuestion, send: () => Promise<unknown>): Promise<string> {
    const of = replyDigest(question);
    for (;;) {
      const kept = this.journal.get(of);
      if (kept !== undefined) return kept.text;
      const other = this.underWay.get(of);
      if (other === undefined) break;
      // Where it fails, this one is sent itself.
      await other.catch(() => undefined);
    }
    const reply = this.find(of, send).finally(() => this.underWay.delete(of));
    this.underWay.set(of, reply);
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.taken > 0)
      this.options.log.info(`${this.taken} replies were paid for by earlier runs and were not asked for again.`);
    await this.journal[Symbol.asyncDispose]();
  }

  private async find(of: string, send: () => Promise<unknown>): Promise<string> {
    const { maxTokens, price } = this.options;
    const earlier = await this.earlier.find(of, maxTokens);
    if (earlier !== undefined) {
      await this.journal.take(earlier);
      this.taken++;
      return earlier.text;
    }
    const response = await send();
    const { text, finish } = saidIn(response);
    const { input: inputTokens, output: outputTokens } = usageOf(response) ?? { input: 0, output: 0 };
    const dollars = price === undefined ? 0 : costOf({ input: inputTokens, output: outputTokens }, price);
    // What says nothing, or was broken off, is a server's fault, and may be another time.
    if (finish === 'length' || (text.trim() !== '' && !brokenOffReasons.includes(finish)))
      await this.journal.add({ of, id: of, text, finish, inputTokens, outputTokens, dollars, maxTokens });
    return text;
  }
}

const responseSchema = z.object({
  choices: z.array(z.object({ finish_reason: z.string().nullish(), message: chatMessage })).min(1),
});

function saidIn(response: unknown): { readonly text: string; readonly finish: string } {
  const choice = responseSchema.safeParse(response).data?.choices[0];
  return { text: choice?.message.content ?? '', finish: choice?.finish_reason ?? 'stop' };
}
