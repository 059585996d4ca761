import { graderChoice, placement, secretVariable, serverUrl, tokenPrice, trainerName, z } from 'simmerkit';

const positive = z.int().min(1);
const share = z.number().min(0).max(1);

/** Where a model answers: behind an API, or in a trainer. One of the two; `askingProblems` says where it is neither. */
const answererShape = {
  url: placement(
    serverUrl()
      .optional()
      .describe('Base of an OpenAI-compatible API, e.g. https://api.deepseek.com/v1. Or name a `trainer`.'),
  ),
  apiKeyVariable: secretVariable('url').optional().describe('Environment variable with the key. Absent: none is sent.'),
  model: z
    .string()
    .min(1)
    .optional()
    .describe('What the server at `url` calls the model. The stage key covers the name, not the weights.'),
  trainer: trainerName().optional().describe('Name of the trainer of the recipe that runs the model instead.'),
  thinkingFormat: z
    .union([
      z.enum(['s1', 'r1', 'none']),
      z.strictObject({
        start: z.string().describe('Appended to the prompt.'),
        end: z.string().min(1).describe('What ends thinking.'),
      }),
    ])
    .default('none')
    .describe(
      'Of a trainer: what marks thinking in the text of its model. none: it answers as it does, and what it writes up to ' +
        '</think> is the trace. Servers send thinking apart, or within <think>.',
    ),
  price: placement(tokenPrice.optional().describe('Price of the model. Absent: dollars are not counted.')),
  maxDollars: placement(
    z
      .number()
      .positive()
      .optional()
      .describe(
        'Spending stops at or below this, over all attempts; each request in flight counts with the most it can cost.',
      ),
  ),
  requestsPerMinute: placement(z.number().positive().optional().describe('Requests that may begin in a minute.')),
  retries: placement(
    z.int().min(0).default(6).describe('Times that a request is made again after a failure that may pass.'),
  ),
  failed: placement(
    z
      .enum(['stop', 'skip'])
      .default('stop')
      .describe(
        'What a question does that an API still fails at after all `retries`. stop: ends the run, which is resumed. skip: it ' +
          'counts as refused and the others go on, until eight fail in a row.',
      ),
  ),
};

const concurrency = (many: number) =>
  placement(positive.max(1024).default(many).describe('Questions under way at a time, of an API.'));
const timeoutMilliseconds = (limit: number) =>
  placement(z.int().min(100).default(limit).describe('Limit for one reply of an API.'));

export const distillOptions = z.strictObject({
  ...answererShape,
  column: z.string().default('question').describe('Column with the text that is sent.'),
  system: z.string().optional().describe('System message. Absent: none.'),
  temperature: z.number().min(0).default(0.6).describe("Of sampling. DeepSeek-R1's advice: 0.6."),
  topP: z.number().gt(0).max(1).default(0.95).describe('Nucleus of sampling.'),
  maxTokens: positive.default(32_768).describe('Longest reply with its thinking, in tokens.'),
  truncated: z
    .enum(['drop', 'keep'])
    .default('drop')
    .describe('What becomes of rows whose reply was cut at maxTokens.'),
  withoutReasoning: z
    .enum(['drop', 'keep'])
    .default('drop')
    .describe('What becomes of rows whose reply has an answer and no trace.'),
  concurrency: concurrency(16),
  // The longest reply, at 18 tokens a second.
  timeoutMilliseconds: timeoutMilliseconds(1_800_000),
});
export type DistillOptions = z.output<typeof distillOptions>;

export const classifyOptions = z.strictObject({
  ...answererShape,
  column: z.string().default('question').describe('Column with the text to classify.'),
  fromColumn: z
    .string()
    .optional()
    .describe(
      'Takes the domain from this column, and asks a model, where one is named, only for rows in which it is empty. A code ' +
        'or title of the taxonomy gets its code; other texts are domains without one.',
    ),
  taxonomy: z
    .union([
      z.literal('msc'),
      z
        .array(z.strictObject({ code: z.string().min(1), title: z.string().min(1) }))
        .min(2)
        .max(500),
    ])
    .default('msc')
    .describe('The classes. msc: the first level of the Mathematics Subject Classification, as s1 has it.'),
  attempts: positive.default(3).describe('How often a model is asked whose last line names no class.'),
  maxTokens: positive.default(256).describe('Longest of its replies, in tokens.'),
  unclassified: z
    .enum(['keep', 'drop'])
    .default('keep')
    .describe('What becomes of rows of which no reply named a class; kept ones have no domain.'),
  concurrency: concurrency(8),
  timeoutMilliseconds: timeoutMilliseconds(120_000),
});
export type ClassifyOptions = z.output<typeof classifyOptions>;

const solver = z.strictObject({
  label: z
    .string()
    .regex(/^[^\s@]+$/, 'a label has no spaces and no @')
    .optional()
    .describe('What the model is called in decisions and reports. Default: `model`, or the name of the trainer.'),
  ...answererShape,
  concurrency: concurrency(16),
  timeoutMilliseconds: timeoutMilliseconds(600_000),
});

/** Datasets may lack these, where the grader needs no right answers; a column that a recipe names must be there. */
export const defaultGoldColumns = { difficulty: 'answer', verify: 'gold' } as const;

export const difficultyOptions = z.strictObject({
  preset: z
    .enum(['s1', 'sometimes'])
    .default('s1')
    .describe(
      's1: a problem that any model is right about is dropped, none is too hard. sometimes: kept is what some model solves ' +
        'in 20% to 80% of its attempts, and none in more. The options below go before it.',
    ),
  maximumRight: share
    .optional()
    .describe(
      "A problem is too easy where a model is right in a larger share of its samples. Default: the preset's, s1: 0.",
    ),
  minimumRight: share
    .optional()
    .describe(
      "A problem is too hard where every model is right in a smaller share of its samples. Default: the preset's, s1: 0.",
    ),
  unanswered: z
    .enum(['keep', 'drop'])
    .default('keep')
    .describe('What becomes of problems that no model answered, e.g. where only a sample of them was asked.'),
  solvers: z
    .array(solver)
    .default([])
    .describe(
      'The models that attempt each problem, side by side; those in trainers run `models`, in their order. Empty: only ' +
        '`graded` counts.',
    ),
  attempts: positive.default(1).describe('How often each model attempts a problem. s1: once.'),
  temperature: z.number().min(0).default(0.05).describe('Of sampling. s1: 0.05.'),
  topP: z.number().gt(0).max(1).default(1).describe('Nucleus of sampling.'),
  maxTokens: positive.default(8192).describe('Longest attempt with its thinking, in tokens.'),
  column: z.string().default('question').describe('Column with the problem.'),
  goldColumn: z
    .string()
    .default(defaultGoldColumns.difficulty)
    .describe('Column with the right answer. Rows without one are not attempted, unless the grader needs none.'),
  promptTemplate: z
    .string()
    .includes('{question}')
    .default('{question}')
    .describe("The user's message; {question} stands for the problem."),
  grader: graderChoice('eval/math-verify').describe(
    'Compares an attempt, without its thinking, with the right answer.',
  ),
});
export type DifficultyOptions = z.output<typeof difficultyOptions>;

/**
 * What attempts depend on besides their questions. Also how long they may be: were only those that were cut drawn again,
 * short ones would be too many of them.
 */
export function attemptSampling({ temperature, topP, maxTokens }: DifficultyOptions) {
  return { temperature, topP, maxTokens };
}

export type Solver = DifficultyOptions['solvers'][number];

export const verifyOptions = z.strictObject({
  column: z.string().default('answer').describe("Column with the answer that is graded, e.g. a teacher's."),
  goldColumn: z
    .string()
    .default(defaultGoldColumns.verify)
    .describe('Column with the right answer. Rows without one are graded only if the grader needs none.'),
  into: z.string().default('right').describe('Column that gets true or false; null where it could not be graded.'),
  wrong: z.enum(['keep', 'drop']).default('keep').describe('What becomes of rows whose answer is not right.'),
  ungraded: z
    .enum(['keep', 'drop'])
    .default('keep')
    .describe('What becomes of rows that lack the right answer that the grader needs.'),
  grader: graderChoice('eval/math-verify').describe('Compares an answer with the right one.'),
});
export type VerifyOptions = z.output<typeof verifyOptions>;

/** Where a stage's model answers, as its options have it. */
export type AnswererOptions = Solver;
