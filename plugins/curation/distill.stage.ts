import { defineStage, EndpointRefusal, input, OpenAiEndpoint, requireColumns, textIn, UserError, z } from 'simmerkit';
import { type DistillOptions, distillOptions } from './options.js';
import { sieveOutputs } from './sieve-outputs.js';
import { dollarsOf, Spending } from './spending.js';

/** What a teacher said to a question. */
interface Reply {
  readonly id: string;
  readonly reasoning: string;
  readonly answer: string;
  /** The server's `finish_reason`; `refused` where it or its model declined. */
  readonly finish: string;
  /** Why it was refused. */
  readonly refusal: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly dollars: number;
}

/** Chat templates add some to the prompt's own text. */
const templateTokens = 256;
const refusedRequests = [400, 413, 422];

export const distill = defineStage({
  description: 'Gets a trace and an answer to each question from a teacher behind an OpenAI-compatible API.',
  options: distillOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and the column.') },
  outputs: sieveOutputs,
  check: ({ maxDollars, price }) =>
    maxDollars === undefined || price !== undefined
      ? []
      : [
          {
            path: 'maxDollars',
            code: 'price_missing',
            message: '`maxDollars` cannot be kept without a `price`.',
            hint: 'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars.',
          },
        ],
  async run(context) {
    const { askRows } = await import('./ask-rows.js');
    const { ReplyJournal } = await import('./reply-journal.js');
    const { sieveAndChange } = await import('./sieve.js');
    const { inputs, options } = context;
    requireColumns(inputs.dataset, ['id', options.column], 'The dataset');
    await using journal = await ReplyJournal.open<Reply>(context.scratchFolder);
    const total = { dollars: 0, tokens: 0 };
    const count = ({ dollars, outputTokens }: Reply) => {
      total.dollars += dollars;
      total.tokens += outputTokens;
    };
    for (const reply of journal.all()) count(reply);
    const teacher = new Teacher(options, total.dollars);
    await askRows(context, inputs.dataset, {
      journal,
      concurrency: options.concurrency,
      ask: async (row, id, signal) => {
        const reply = await teacher.ask(id, textIn(row, options.column) ?? '', signal);
        count(reply);
        return reply;
      },
      figures: () => ({ ...total }),
    });
    for (const [name, value, unit] of [
      ['distill.dollars', total.dollars, 'dollars'],
      ['distill.output-tokens', total.tokens, 'tokens'],
    ] as const) {
      const data = { name, value, unit, count: journal.size, labels: { model: options.model } };
      await context.emit({ type: 'metric.measured', data });
    }
    return await sieveAndChange(
      context,
      inputs.dataset,
      (row) => verdictOn(journal.get(textIn(row, 'id') ?? ''), options),
      {
        columns: {
          ...inputs.dataset.columns,
          ...('answer' in inputs.dataset.columns && !('gold' in inputs.dataset.columns)
            ? { gold: 'VARCHAR' as const }
            : {}),
          reasoning: 'VARCHAR',
          answer: 'VARCHAR',
        },
        change: (row) => {
          const reply = journal.get(textIn(row, 'id') ?? '');
          return {
            ...row,
            ...(row.answer === undefined || 'gold' in row ? {} : { gold: row.answer }),
            reasoning: reply?.reasoning ?? null,
            answer: reply?.answer ?? null,
          };
        },
      },
    );
  },
});

function verdictOn(reply: Reply | undefined, { truncated, withoutReasoning }: DistillOptions) {
  if (reply === undefined) return { rule: 'unanswered' };
  if (reply.finish === 'refused') return { rule: 'refused', evidence: reply.refusal ?? 'the teacher declined' };
  if (reply.finish === 'length' && truncated === 'drop') {
    return { rule: 'truncated', evidence: `cut after ${reply.outputTokens} tokens` };
  }
  if (reply.reasoning === '' && withoutReasoning === 'drop') {
    return { rule: 'no_reasoning', evidence: shortened(reply.answer) };
  }
  return undefined;
}

class Teacher {
  private readonly spending: Spending;
  private endpoint: OpenAiEndpoint | undefined;

  /** @param spent dollars, by earlier attempts */
  constructor(
    private readonly options: DistillOptions,
    spent: number,
  ) {
    this.spending = new Spending(options.maxDollars ?? Number.POSITIVE_INFINITY, spent);
  }

  ask(id: string, question: string, signal: AbortSignal): Promise<Reply> {
    const { options } = this;
    const messages = [
      ...(options.system === undefined ? [] : [{ role: 'system', content: options.system }]),
      { role: 'user', content: question },
    ];
    const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    const price = options.price ?? { inputPerMillion: 0, outputPerMillion: 0 };
    // No token is shorter than a byte.
    const most = { input: bytes + templateTokens, output: options.maxTokens };
    return this.spending.within(dollarsOf(most, price), async () => {
      const reply = await this.reply(messages, signal);
      const tokens = reply.usage ?? (reply.finish === 'refused' ? { input: 0, output: 0 } : most);
      const { usage, ...said } = reply;
      const dollars = dollarsOf(tokens, price);
      return { result: { id, ...said, inputTokens: tokens.input, outputTokens: tokens.output, dollars }, dollars };
    });
  }

  private async reply(messages: readonly { readonly role: string; readonly content: string }[], signal: AbortSignal) {
    const {
      url,
      apiKeyVariable,
      timeoutMilliseconds,
      retries,
      requestsPerMinute,
      model,
      temperature,
      topP,
      maxTokens,
    } = this.options;
    this.endpoint ??= new OpenAiEndpoint({
      url,
      apiKeyVariable,
      timeoutMilliseconds,
      retries,
      requestsPerMinute,
      signal,
    });
    try {
      const body = { model, messages, max_tokens: maxTokens, temperature, top_p: topP };
      return readReply(await this.endpoint.post('chat/completions', body), url);
    } catch (error) {
      if (!(error instanceof EndpointRefusal) || !refusedRequests.includes(error.status)) throw error;
      return { reasoning: '', answer: '', finish: 'refused', refusal: error.message, usage: undefined };
    }
  }
}

const responseSchema = z.object({
  choices: z
    .array(
      z.object({
        finish_reason: z.string().nullish(),
        message: z.object({
          content: z.string().nullish(),
          reasoning_content: z.string().nullish(),
          reasoning: z.string().nullish(),
          refusal: z.string().nullish(),
        }),
      }),
    )
    .min(1),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
});

function readReply(response: unknown, url: string) {
  const parsed = responseSchema.safeParse(response);
  const choice = parsed.data?.choices[0];
  if (choice === undefined) {
    throw new UserError(
      'endpoint_invalid',
      `${url} answered without a message: ${shortened(JSON.stringify(response))}`,
      {
        kind: 'environment',
        hint: 'Check that `url` is the base of an OpenAI-compatible API that has chat/completions.',
      },
    );
  }
  const { message } = choice;
  const usage = parsed.data?.usage;
  const isRefused = typeof message.refusal === 'string' || choice.finish_reason === 'content_filter';
  return {
    ...thinkingIn(message.content ?? '', message.reasoning_content ?? message.reasoning ?? ''),
    finish: isRefused ? 'refused' : (choice.finish_reason ?? 'stop'),
    refusal: message.refusal ?? (isRefused ? 'filtered by the server' : null),
    usage:
      usage === undefined || usage === null
        ? undefined
        : { input: usage.prompt_tokens, output: usage.completion_tokens },
  };
}

/** Thinking that a server sends apart, or that stands between `<think>` and `</think>` before the answer. */
function thinkingIn(content: string, reasoning: string): { readonly reasoning: string; readonly answer: string } {
  if (reasoning.trim() !== '') return { reasoning: reasoning.trim(), answer: content.trim() };
  const end = content.indexOf('</think>');
  if (end === -1) {
    const begun = /^\s*<think>/.test(content);
    return { reasoning: begun ? content.replace('<think>', '').trim() : '', answer: begun ? '' : content.trim() };
  }
  const before = content.slice(0, end).replace('<think>', '');
  return { reasoning: before.trim(), answer: content.slice(end + '</think>'.length).trim() };
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= 200 ? line : `${line.slice(0, 199)}…`;
}
