import {
  type AroundSending,
  defineGrader,
  type EndpointBody,
  EndpointRefusal,
  endpointEstimate,
  type Grade,
  type GradeItem,
  type GraderContext,
  OpenAiEndpoint,
  placement,
  secretVariable,
  serverUrl,
  shortenedAtStart,
  tokenPrice,
  UserError,
  z,
} from 'simmerkit';
import type { JudgeQuestion, JudgeReplies } from './judge-replies.js';

/** Of the default prompt; left out where the question is not known. */
const questionPart = 'Question: {question}\n\n';
const defaultPrompt =
  'Is the answer below equivalent to the correct answer? Trivial simplifications and formatting do not matter.\n\n' +
  `${questionPart}Correct answer: {gold}\n\nAnswer: {answer}\n\n` +
  'Explain briefly. Then write only Yes or No on the last line.';

const judgeOptions = z.strictObject({
  url: placement(serverUrl().describe('Base of an OpenAI-compatible API, e.g. http://localhost:8000/v1.')),
  apiKeyVariable: secretVariable('url').optional().describe('Environment variable with the key. Absent: none is sent.'),
  model: z.string().min(1).describe('What the server calls the model that judges.'),
  prompt: z
    .string()
    .includes('{answer}')
    .refine((prompt) => /\{(gold|question)\}/.test(prompt), {
      error: 'beside the {answer}, a judge is sent {gold}, {question} or both.',
    })
    .default(defaultPrompt)
    .describe(
      'What the judge is asked; {question}, {gold} and {answer} stand for the question and the answers. Where the question ' +
        'is not known, the default leaves it out.',
    ),
  attempts: z.int().min(1).default(3).describe('How often a judge is asked whose last line is neither Yes nor No.'),
  temperature: z
    .number()
    .min(0)
    .default(0)
    .describe('Of the first question; the later ones are asked at 0.5 at least.'),
  maxTokens: z.int().min(1).default(1024).describe("Longest of the judge's replies, in tokens."),
  concurrency: placement(z.int().min(1).default(8).describe('Questions under way at a time.')),
  timeoutMilliseconds: placement(z.int().min(100).default(120_000).describe('Limit for one reply.')),
  price: placement(tokenPrice.optional().describe('Counted into what the run spends; a budget in dollars needs it.')),
});
type JudgeOptions = z.output<typeof judgeOptions>;

const repeatedTemperature = 0.5;
/** By these a server says that it does not take this question; it counts nothing for it. */
const refusedRequests: readonly number[] = [400, 413, 422];
/** So many questions refused and none answered are no matter of the questions. */
const refusalsInARow = 8;
/** Of a prompt with the question and both answers, for estimates. */
const promptTokens = 512;

export const judge = defineGrader({
  description:
    'Asks a language model behind an OpenAI-compatible API whether an answer is right; its last line decides.',
  options: judgeOptions,
  estimate: async (answers, { attempts, maxTokens, ...options }, around) => {
    const estimate = endpointEstimate({
      ...options,
      requests: answers === undefined ? undefined : answers * attempts,
      inputTokens: promptTokens,
      outputTokens: maxTokens,
    });
    const kept = await around?.kept({ model: options.model });
    if (kept === undefined || kept.others.length === 0) return estimate;
    const note = 'What the judge told earlier runs of the same answers is not paid for again.';
    return { ...estimate, notes: [note, ...(estimate.notes ?? [])] };
  },
  needsGold: ({ prompt }) => prompt.includes('{gold}'),
  async start(options, context) {
    const { JudgeReplies } = await import('./judge-replies.js');
    const { model, maxTokens, price } = options;
    const { spending, log } = context;
    const folder = await context.keptFolder({ model });
    const replies = await JudgeReplies.open(folder, { maxTokens, price, log });
    let toldOfMissing = false;
    const tellOfMissing = (missing: UserError) => {
      if (!toldOfMissing) log.warning(`${missing.message} It is unparsed, as are all such answers. ${missing.hint}`);
      toldOfMissing = true;
    };
    return {
      grade: async (items, signal) => {
        const signals = [context.signal, ...(signal === undefined ? [] : [signal])];
        return new Judging(options, replies, signals, { spending, log, tellOfMissing }).all(items);
      },
      [Symbol.asyncDispose]: () => replies[Symbol.asyncDispose](),
    };
  },
});

/** Answers that are judged, some at a time. */
class Judging {
  private readonly endpoint: OpenAiEndpoint;
  /** The first failure: nothing new is sent, what is under way is still waited for, since it is paid for. */
  private failure: { readonly error: unknown } | undefined;
  /** Aborts those that wait to send again. */
  private readonly stop = new AbortController();
  private underWay = 0;
  private readonly signal: AbortSignal;
  private readonly refusals: EndpointRefusal[] = [];
  private missing: UserError | undefined;
  private readonly tellOfMissing: (missing: UserError) => void;

  constructor(
    private readonly options: JudgeOptions,
    private readonly replies: JudgeReplies,
    signals: readonly AbortSignal[],
    context: Pick<GraderContext, 'spending' | 'log'> & { readonly tellOfMissing: (missing: UserError) => void },
  ) {
    const { spending, log } = context;
    this.tellOfMissing = context.tellOfMissing;
    const { model, price } = options;
    this.signal = AbortSignal.any([...signals, this.stop.signal]);
    this.endpoint = new OpenAiEndpoint({
      ...options,
      retries: 4,
      cost: { spending, source: model, price },
      log,
      signal: this.signal,
    });
  }

  async all(items: readonly GradeItem[]): Promise<readonly Grade[]> {
    const grades: Grade[] = [];
    let next = 0;
    const work = async () => {
      try {
        for (let index = next++; index < items.length && this.failure === undefined; index = next++)
          grades[index] = await this.one(items[index] as GradeItem);
      } catch (error) {
        this.failure ??= { error };
        this.stopWhereIdle();
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.options.concurrency, items.length) }, work));
    if (this.failure !== undefined) throw this.failure.error;
    const unjudged = this.refusals[0] ?? this.missing;
    if (unjudged !== undefined && this.replies.isEmpty) throw unjudged;
    if (this.missing !== undefined) this.tellOfMissing(this.missing);
    return grades;
  }

  private async one(item: GradeItem): Promise<Grade> {
    const { model, maxTokens, prompt } = this.options;
    const content = contentOf(item, prompt);
    if (content === undefined) {
      const missing = questionMissing(item.id);
      this.missing ??= missing;
      return unread(item, missing);
    }
    try {
      return await judgeOne(item, content, this.options, (question) =>
        this.replies.to(question, () => this.send({ model, max_tokens: maxTokens, ...question }), this.signal),
      );
    } catch (error) {
      if (!(error instanceof EndpointRefusal) || !refusedRequests.includes(error.status)) throw error;
      this.refusals.push(error);
      if (this.replies.isEmpty && this.refusals.length >= refusalsInARow) throw error;
      return unread(item, error);
    }
  }

  private send(body: EndpointBody): Promise<unknown> {
    const unlessOver: AroundSending = async (send) => {
      if (this.failure !== undefined) throw this.failure.error;
      this.underWay++;
      try {
        return await send();
      } finally {
        this.underWay--;
        this.stopWhereIdle();
      }
    };
    return this.endpoint.post('chat/completions', body, unlessOver);
  }

  private stopWhereIdle(): void {
    if (this.failure !== undefined && this.underWay === 0) this.stop.abort(this.failure.error);
  }
}

/** What the judge is asked; undefined where the prompt has a question, and that of the answer is not known. */
function contentOf({ question = '', gold, answer }: GradeItem, prompt: string): string | undefined {
  const isKnown = question.trim() !== '';
  const shown = isKnown || prompt !== defaultPrompt ? prompt : prompt.replace(questionPart, '');
  if (!isKnown && shown.includes('{question}')) return undefined;
  const parts = { question, gold, answer };
  // One pass, so that a placeholder inside of an answer stays what it is.
  return shown.replace(/\{(question|gold|answer)\}/g, (_, name: keyof typeof parts) => parts[name]);
}

function unread({ id, answer, gold }: GradeItem, why: UserError): Grade {
  return { id, parsedAnswer: answer, parsedGold: gold, verdict: 'unparsed', explanation: why.message };
}

function questionMissing(id: string): UserError {
  return new UserError(
    'question_missing',
    `The judge is to be sent the {question}, which is not known of the answer ${id}.`,
    {
      kind: 'runFailed',
      hint: 'Grade rows that have a column `question`, or leave {question} out of the `prompt` of eval/judge.',
    },
  );
}

/** @param ask gives the text of a reply */
async function judgeOne(
  item: GradeItem,
  content: string,
  options: JudgeOptions,
  ask: (question: JudgeQuestion) => Promise<string>,
): Promise<Grade> {
  const shared = { id: item.id, parsedAnswer: item.answer, parsedGold: item.gold };
  let reply = '';
  for (let attempt = 0; attempt < options.attempts; attempt++) {
    reply = await ask({
      messages: [{ role: 'user', content }],
      temperature: attempt === 0 ? options.temperature : Math.max(options.temperature, repeatedTemperature),
      seed: attempt,
    });
    const verdict = verdictIn(reply);
    if (verdict !== null) {
      const explanation = `${options.model} says ${verdict ? 'Yes' : 'No'}: ${shortenedAtStart(reply)}`;
      return { ...shared, verdict: verdict ? 'right' : 'wrong', explanation };
    }
  }
  const explanation = `The last line of ${options.model} was neither Yes nor No, ${options.attempts} times: ${shortenedAtStart(reply)}`;
  return { ...shared, verdict: 'unparsed', explanation };
}

/** What the last line says; null unless it is Yes or No and nothing else. */
export function verdictIn(reply: string): boolean | null {
  const last = reply.trim().split('\n').at(-1)?.trim() ?? '';
  const said = /^\**(yes|no)\**\.?\**$/i.exec(last)?.[1]?.toLowerCase();
  return said === undefined ? null : said === 'yes';
}
