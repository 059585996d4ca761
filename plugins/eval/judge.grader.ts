import {
  chatMessage,
  defineGrader,
  endpointEstimate,
  type Grade,
  type GradeItem,
  OpenAiEndpoint,
  placement,
  secretVariable,
  serverUrl,
  shortenedAtStart,
  tokenPrice,
  z,
} from 'simmerkit';

const judgeOptions = z.strictObject({
  url: placement(serverUrl().describe('Base of an OpenAI-compatible API, e.g. http://localhost:8000/v1.')),
  apiKeyVariable: secretVariable('url').optional().describe('Environment variable with the key. Absent: none is sent.'),
  model: z.string().min(1).describe('What the server calls the model that judges.'),
  prompt: z
    .string()
    .includes('{gold}')
    .includes('{answer}')
    .default(
      'Is the answer below equivalent to the correct answer? Trivial simplifications and formatting do not matter.\n\n' +
        'Correct answer: {gold}\n\nAnswer: {answer}\n\n' +
        'Explain briefly. Then write only Yes or No on the last line.',
    )
    .describe('What the judge is asked; {gold} and {answer} stand for the answers.'),
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
/** Of the question with both answers, for estimates. */
const promptTokens = 512;

export const judge = defineGrader({
  description:
    'Asks a language model behind an OpenAI-compatible API whether an answer is right; its last line decides.',
  options: judgeOptions,
  estimate: (answers, { attempts, maxTokens, ...options }) =>
    endpointEstimate({
      ...options,
      requests: answers === undefined ? undefined : answers * attempts,
      inputTokens: promptTokens,
      outputTokens: maxTokens,
    }),
  async start(options, context) {
    const { url, apiKeyVariable, timeoutMilliseconds, model, price } = options;
    return {
      grade: async (items, signal) => {
        const endpoint = new OpenAiEndpoint({
          url,
          apiKeyVariable,
          timeoutMilliseconds,
          retries: 4,
          cost: { spending: context.spending, source: model, price },
          signal: signal === undefined ? context.signal : AbortSignal.any([signal, context.signal]),
        });
        const grades: Grade[] = [];
        let next = 0;
        const work = async () => {
          for (let index = next++; index < items.length; index = next++)
            grades[index] = await judgeOne(items[index] as GradeItem, options, endpoint);
        };
        await Promise.all(Array.from({ length: Math.min(options.concurrency, items.length) }, work));
        return grades;
      },
      [Symbol.asyncDispose]: async () => {},
    };
  },
});

async function judgeOne(item: GradeItem, options: JudgeOptions, endpoint: OpenAiEndpoint): Promise<Grade> {
  const shared = { id: item.id, parsedAnswer: item.answer, parsedGold: item.gold };
  // One pass, so that a placeholder inside of an answer stays what it is.
  const content = options.prompt.replace(/\{(gold|answer)\}/g, (_, name: 'gold' | 'answer') => item[name]);
  let reply = '';
  for (let attempt = 0; attempt < options.attempts; attempt++) {
    const response = await endpoint.post('chat/completions', {
      model: options.model,
      messages: [{ role: 'user', content }],
      max_tokens: options.maxTokens,
      temperature: attempt === 0 ? options.temperature : Math.max(options.temperature, repeatedTemperature),
      seed: attempt,
    });
    reply = replyIn(response);
    const verdict = verdictIn(reply);
    if (verdict !== null) {
      const explanation = `${options.model} says ${verdict ? 'Yes' : 'No'}: ${shortenedAtStart(reply)}`;
      return { ...shared, verdict: verdict ? 'right' : 'wrong', explanation };
    }
  }
  const explanation = `The last line of ${options.model} was neither Yes nor No, ${options.attempts} times: ${shortenedAtStart(reply)}`;
  return { ...shared, verdict: 'unparsed', explanation };
}

const replySchema = z.object({
  choices: z.array(z.object({ message: chatMessage })).min(1),
});

function replyIn(response: unknown): string {
  return replySchema.safeParse(response).data?.choices[0]?.message.content ?? '';
}

/** What the last line says; null unless it is Yes or No and nothing else. */
export function verdictIn(reply: string): boolean | null {
  const last = reply.trim().split('\n').at(-1)?.trim() ?? '';
  const said = /^\**(yes|no)\**\.?\**$/i.exec(last)?.[1]?.toLowerCase();
  return said === undefined ? null : said === 'yes';
}
