import {
  brokenOffReasons,
  chatMessage,
  costOf,
  EndpointRefusal,
  isUserError,
  mostTokens,
  OpenAiEndpoint,
  PassingFailure,
  type ReplyJournal,
  shortened,
  UserError,
  usageOf,
  z,
} from 'simmerkit';
import {
  type Answerer,
  type AskingContext,
  type KeptAnswer,
  type Question,
  type Reply,
  refused,
  type Sampling,
  thinkingIn,
} from './answerer.js';
import type { AnswererOptions } from './asking-options.js';
import { SpendingCap } from './spending-cap.js';

/** By these a server says that it does not take this question; it counts nothing for it. */
const refusedRequests: readonly number[] = [400, 413, 422];
/** So many questions refused and none answered are no matter of the questions. */
const refusalsInARow = 8;

/** Of options with a `url`. */
export type EndpointAnswererOptions = AnswererOptions & { readonly url: string; readonly model: string };

/** A model behind an OpenAI-compatible API, asked many questions at a time. */
export class EndpointAnswerer implements Answerer {
  private readonly cap: SpendingCap;
  private endpoint: OpenAiEndpoint | undefined;
  /** The first failure: nothing new is sent, what is under way is still waited for, since it is paid for. */
  private failure: { readonly error: unknown } | undefined;
  /** Aborts those that wait to send again. */
  private readonly stop = new AbortController();
  private underWay = 0;
  private answered: number;
  private refused = 0;
  private failedInARow = 0;

  /**
   * @param journal where money is noted; replies are kept by the caller
   * @param context whose `spending` is the run's: its budget counts beside the stage's own cap
   */
  constructor(
    private readonly options: EndpointAnswererOptions,
    private readonly journal: ReplyJournal<KeptAnswer>,
    private readonly context: Pick<AskingContext, 'spending' | 'log'>,
  ) {
    this.cap = new SpendingCap(options.maxDollars ?? Number.POSITIVE_INFINITY, journal.totals.dollars);
    this.answered = journal.size;
  }

  async answer(
    questions: AsyncIterable<Question>,
    sampling: Sampling,
    keep: (reply: Reply) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const endpoint = this.endpointFor(signal);
    const iterator = questions[Symbol.asyncIterator]();
    let reading: Promise<unknown> = Promise.resolve();
    const next = () => {
      const result = reading.then(() => iterator.next());
      reading = result.catch(() => undefined);
      return result;
    };
    const work = async () => {
      try {
        for (let one = await next(); one.done !== true && this.failure === undefined; one = await next())
          await keep(await this.ask(endpoint, one.value, sampling));
      } catch (error) {
        this.failure ??= { error };
        void iterator.return?.().catch(() => undefined);
        this.stopWhereIdle();
      }
    };
    await Promise.all(Array.from({ length: this.options.concurrency }, work));
    await iterator.return?.();
    if (this.failure !== undefined) throw this.failure.error;
  }

  private endpointFor(signal: AbortSignal): OpenAiEndpoint {
    const { model, price } = this.options;
    this.endpoint ??= new OpenAiEndpoint({
      ...this.options,
      signal: AbortSignal.any([signal, this.stop.signal]),
      cost: { spending: this.context.spending, source: model, price },
      log: this.context.log,
    });
    return this.endpoint;
  }

  private async ask(endpoint: OpenAiEndpoint, question: Question, sampling: Sampling): Promise<Reply> {
    const { model, url } = this.options;
    const { temperature, topP, maxTokens, seed } = sampling;
    const body = {
      model,
      messages: question.messages,
      max_tokens: maxTokens,
      temperature,
      top_p: topP,
      ...(seed === undefined ? {} : { seed }),
    };
    const price = this.options.price ?? { inputPerMillion: 0, outputPerMillion: 0 };
    const most = mostTokens(body);
    const mostDollars = costOf(most, price);
    let reply: Reply | undefined;
    const paid = (send: () => Promise<unknown>) =>
      this.cap.within(mostDollars, async (pay) => {
        if (this.failure !== undefined) throw this.failure.error;
        this.underWay++;
        let atMost = mostDollars;
        try {
          if (mostDollars > 0) await this.journal.asked(question.id, mostDollars);
          const response = await send();
          const usage = usageOf(response);
          atMost = costOf(usage ?? most, price);
          const said = readReply(response, url);
          const tokens = usage ?? (said.finish === 'refused' ? { input: 0, output: 0 } : most);
          const dollars = costOf(tokens, price);
          pay(dollars);
          reply = { id: question.id, ...said, inputTokens: tokens.input, outputTokens: tokens.output, dollars };
        } catch (error) {
          const dollars = mayBeBilled(error) ? atMost : 0;
          pay(dollars);
          if (mostDollars > 0) await this.journal.unanswered(question.id, dollars);
          throw error;
        } finally {
          this.underWay--;
          this.stopWhereIdle();
        }
      });
    try {
      await endpoint.post('chat/completions', body, paid);
    } catch (error) {
      if (isFailure(error) && this.failure === undefined) return this.skipped(question, error);
      return this.refusal(question, error);
    }
    if (reply === undefined) throw new Error('a request ended without a reply');
    this.answered++;
    this.failedInARow = 0;
    return reply;
  }

  private stopWhereIdle(): void {
    if (this.failure !== undefined && this.underWay === 0) this.stop.abort(this.failure.error);
  }

  /** The reply to a question that the server does not take. @throws the error, where it is another or of every question */
  private refusal(question: Question, error: unknown): Reply {
    if (!(error instanceof EndpointRefusal) || !refusedRequests.includes(error.status)) throw error;
    this.refused++;
    if (this.answered === 0 && this.refused >= refusalsInARow) throw error;
    return refused(question.id, error.message);
  }

  /** The reply to a question that fails while others are answered. @throws the error, where that is not asked for */
  private skipped(question: Question, error: UserError): Reply {
    this.failedInARow++;
    if (this.options.failed === 'skip' && this.failedInARow < refusalsInARow)
      return refused(question.id, error.message);
    if (this.options.failed === 'skip' || this.answered === 0) throw error;
    throw new UserError(error.code, `${error.message} It was the question ${question.id}, after all \`retries\`.`, {
      kind: error.kind,
      hint: `${error.hint ?? ''} Where only some questions fail, \`failed: skip\` goes on without them.`.trim(),
      cause: error,
    });
  }
}

/** Whether a server failed at a question, time and again; that it is busy is no matter of the question. */
function isFailure(error: unknown): error is UserError {
  if (error instanceof EndpointRefusal) return [200, 408].includes(error.status) || error.status >= 500;
  return isUserError(error) && ['endpoint_unreachable', 'endpoint_invalid', 'endpoint_broke_off'].includes(error.code);
}

/** Whether a server may count something for a request that failed; what is no failure of the request was never sent. */
function mayBeBilled(error: unknown): boolean {
  if (error instanceof PassingFailure) return error.mayBeBilled;
  return !isUserError(error) || error.code === 'endpoint_invalid';
}

const responseSchema = z.object({
  choices: z.array(z.object({ finish_reason: z.string().nullish(), message: chatMessage })).min(1),
});

/** @throws PassingFailure: a server that is full, or failed, may answer so */
function readReply(response: unknown, url: string) {
  const choice = responseSchema.safeParse(response).data?.choices[0];
  if (choice === undefined) {
    throw new PassingFailure(
      new UserError('endpoint_invalid', `${url} answered without a message: ${shortened(JSON.stringify(response))}`, {
        kind: 'environment',
        hint: 'Check that `url` is the base of an OpenAI-compatible API that has chat/completions.',
      }),
      true,
    );
  }
  const { message, finish_reason: finish } = choice;
  if (finish !== null && finish !== undefined && brokenOffReasons.includes(finish)) {
    throw new PassingFailure(
      new UserError('endpoint_broke_off', `${url} broke a reply off (finish_reason ${finish}).`, {
        kind: 'environment',
        hint: 'Resume the run when the server has room again, or lower `concurrency`: what is answered is kept.',
      }),
      true,
    );
  }
  const isRefused = typeof message.refusal === 'string' || finish === 'content_filter';
  return {
    ...thinkingIn(message.content, message.thinking),
    finish: isRefused ? 'refused' : (finish ?? 'stop'),
    refusal: message.refusal ?? (isRefused ? 'filtered by the server' : null),
  };
}
