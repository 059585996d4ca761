import { z } from 'simmerkit';

const positive = z.int().min(1);
const share = z.number().min(0).max(1);
const range = (from: number, to: number, what: string) =>
  z
    .strictObject({ min: z.int().min(1).default(from), max: z.int().min(1).default(to) })
    .refine(({ min, max }) => min <= max, { error: 'min is above max' })
    .prefault({})
    .describe(what);

export const generateProblemsOptions = z.strictObject({
  count: positive.max(10_000_000).describe('How many problems; no two are the same.'),
  steps: z
    .record(z.string().regex(/^[1-9]\d?$/, 'a number of steps is 1 to 99'), z.number().positive())
    .refine((weights) => Object.keys(weights).length > 0, { error: 'name at least one number of steps' })
    .default({ 2: 30, 3: 25, 4: 5, 5: 10, 6: 10, 7: 10, 8: 10 })
    .describe('Number of steps of a problem, and how frequent it is. The more steps, the longer one has to think.'),
  start: range(10, 30, 'The number that a story starts with.'),
  change: range(2, 9, 'What one step adds or takes away.'),
  largest: z.int().min(20).default(99).describe('No number on the way is above it; none is below 2.'),
  factorShare: share.default(0.2).describe('How often a step tries to double or halve instead.'),
  checks: z
    .strictObject({
      share: share.default(0.2).describe('Share of traces that check their last step.'),
      twiceShare: share.default(0.3).describe('Of these, the share that does it twice.'),
      slipShare: share.default(0).describe('Of these, the share whose last step was wrong before.'),
      word: z.string().min(1).default('Wait').describe('What a check begins with.'),
    })
    .prefault({})
    .describe(
      'Traces that look at their last step again, behind the word that budget forcing appends: without them a model does ' +
        'not know how to go on from it.',
    ),
});

const lengths = z
  .strictObject({
    min: z.int().min(0).optional().describe('Fewest characters.'),
    max: positive.optional().describe('Most characters.'),
  })
  .optional();

export const qualityOptions = z.strictObject({
  preset: z
    .enum(['s1', 'none'])
    .default('s1')
    .describe("s1: drops questions that need a picture, and those with s1's marks of broken formatting."),
  asyAllowedSources: z
    .array(z.string())
    .default(['aime'])
    .describe('Preset s1 keeps [asy] in sources whose name contains one of these, whatever the case.'),
  drop: z
    .array(
      z.strictObject({
        rule: z.string().min(1).describe('Its name in the funnel.'),
        pattern: z.string().describe('Regular expression; a row that matches is dropped.'),
        flags: z.string().default('u').describe('Flags of the expression.'),
        column: z.string().default('question').describe('Column that is looked at.'),
      }),
    )
    .default([])
    .describe('Rules of your own.'),
  length: z
    .strictObject({ question: lengths, reasoning: lengths, answer: lengths })
    .prefault({})
    .describe('Limits of length, in characters.'),
  language: z
    .strictObject({
      allowed: z
        .array(z.string().regex(/^[a-z]{3}$/, 'a language is its ISO 639-3 code, e.g. eng'))
        .min(1)
        .default(['eng'])
        .describe('ISO 639-3 codes of languages to keep.'),
      column: z.string().default('question').describe('Column that is looked at.'),
      minLength: positive
        .default(80)
        .describe('Texts with fewer characters, formulas and numbers left out, are kept: too short to tell.'),
      tolerance: share
        .default(0.8)
        .describe('Kept where an allowed language scores at least this, the likeliest language scoring 1.'),
    })
    .optional()
    .describe('Drops texts in other languages, told by their trigrams.'),
  repetition: z
    .array(
      z.strictObject({
        column: z.string().default('reasoning').describe('Column that is looked at.'),
        words: z.int().min(1).max(64).default(10).describe('Length of the runs of words that are compared.'),
        maximumShare: share.describe('Dropped where a larger share of the runs came before in the same text.'),
      }),
    )
    .default([])
    .describe('Drops texts that say the same over and over, as traces do that got stuck.'),
});

const compared = z.union([z.string(), z.array(z.string()).min(1)]).default('question');

export const deduplicateOptions = z.strictObject({
  column: compared.describe('Rows that agree in it, or in all of a list, are duplicates; the first is kept.'),
  ignoreCaseAndSpace: z.boolean().default(false).describe('Compares in lower case, with white space collapsed.'),
  near: z
    .strictObject({
      similarity: z
        .number()
        .gt(0)
        .max(1)
        .default(0.8)
        .describe('Jaccard similarity of the shingles from which a row is dropped; computed exactly.'),
      words: z.int().min(1).max(64).default(3).describe('Words in a shingle, in lower case.'),
      hashes: z
        .int()
        .min(16)
        .max(1024)
        .default(128)
        .describe('Hash functions of a MinHash signature: more find more pairs, and take longer.'),
    })
    .optional()
    .describe('Drops rows too that are nearly the same as a kept one. `near: {}` takes the defaults.'),
});

export const decontaminateOptions = z.strictObject({
  words: z.int().min(2).max(64).default(8).describe('Length of the n-grams, in words. s1: 8.'),
  column: compared.describe('Column of both sides that is compared, or a list: their texts, one after the other.'),
  acrossSources: z
    .boolean()
    .default(false)
    .describe("Also drops rows that share an n-gram with a kept row of another, earlier source, as s1's code does."),
});

export const tokensOptions = z.strictObject({
  column: z.string().default('reasoning').describe('Column whose text is counted.'),
  into: z.string().default('tokens').describe('Column that the number of tokens goes into.'),
});

export const selectOptions = z.strictObject({
  variant: z
    .enum(['paper', 'code'])
    .default('paper')
    .describe('Of method s1. paper: domains uniformly to the end. code: from 700 rows on, as `later` says.'),
  method: z
    .enum(['s1', 'random', 'diverse', 'longest', 'all'])
    .default('s1')
    .describe(
      's1: a domain uniformly, in it a row with weight 2^-rank by length of the trace. random: rows uniformly. diverse: ' +
        'a domain uniformly, in it a row uniformly. longest: the longest traces. all: everything.',
    ),
  count: positive.default(1000).describe('How many rows; fewer where there are fewer. Not used by all.'),
  lengthColumn: z
    .string()
    .default('reasoning')
    .describe('How long a trace is: a column of text (characters) or of numbers (e.g. tokens).'),
  domainColumn: z.string().default('domain').describe('Rows without a domain are one domain of their own.'),
  preselect: z
    .array(
      z.strictObject({
        source: z.string().optional().describe('Only rows whose source matches this regular expression.'),
        minLength: z.number().optional().describe('Only rows whose trace is longer.'),
        equals: z
          .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
          .default({})
          .describe('Only rows with these values, e.g. {right: true}.'),
      }),
    )
    .default([])
    .describe('Rows that are taken first; they count towards `count`. A row is taken where all of one entry holds.'),
  later: z
    .strictObject({
      after: z.int().min(0).default(700).describe("From so many chosen rows on. s1's code: 700."),
      sources: z
        .string()
        .default('aime|gpqa')
        .describe(
          'Rows whose source matches this regular expression, whatever the case, say how frequent a domain is.',
        ),
    })
    .prefault({})
    .describe(
      "What s1's code does and its paper does not say: from 700 rows on, a domain is drawn by its share among the AIME and " +
        'GPQA rows of the dataset, no longer uniformly. Used by variant code.',
    ),
});

export const splitOptions = z.strictObject({
  heldout: z.number().positive().default(0.1).describe('Questions to hold out: a share below 1, or how many.'),
  train: positive.optional().describe('How many questions to train on. Default: all the others.'),
  stable: z
    .boolean()
    .default(false)
    .describe(
      'For data that grows: each question is drawn for itself, so that one more or less moves at most one other. ' +
        'Default: all are shuffled at once, and other data has another evaluation.',
    ),
});

export const mixOptions = z.strictObject({
  weights: z
    .array(z.number().min(0))
    .min(1)
    .optional()
    .describe(
      'Share of each dataset, in their order; 3 and 1 are three quarters and one quarter. Default: equal shares.',
    ),
  count: positive.optional().describe('How many rows in all. Default: until the datasets are empty.'),
  whenEmpty: z
    .enum(['skip', 'stop', 'repeat'])
    .default('skip')
    .describe(
      'What happens when a dataset has no more rows. skip: the others go on among themselves. stop: the mix ends there, so ' +
        'that the shares hold. repeat: it begins again; say `count`.',
    ),
  order: z
    .enum(['drawn', 'even'])
    .default('drawn')
    .describe('drawn: the dataset of each row is drawn by chance. even: in turn, the one furthest behind its share.'),
});

export const formatOptions = z.strictObject({
  preset: z
    .enum(['s1', 'r1', 'chat'])
    .default('s1')
    .describe(
      "Whose text. s1: <|im_start|>think and <|im_start|>answer, the answer behind 'Answer: '. r1: <think> and </think>, as " +
        'DeepSeek-R1 and its distilled models write. chat: the answer alone; the trace is not needed, and not used.',
    ),
  thinkingStart: z.string().optional().describe("Before the trace. Default: the preset's."),
  answerStart: z.string().optional().describe("Between the trace and the answer. Default: the preset's."),
  answerPrefix: z
    .string()
    .optional()
    .describe(
      "Put before an answer that does not have it (without its space at the end) already. Default: the preset's: s1 'Answer: '.",
    ),
  answerTemplate: z
    .string()
    .includes('{answer}')
    .default('{answer}')
    .describe('The answer; {answer} stands for what the dataset has.'),
  end: z
    .string()
    .optional()
    .describe(
      'Ends the completion: what ends a reply in the chat template of `model`, where that input is given. Default ' +
        'without it: <|im_end|> for s1 and chat, and the end of sentence token of R1 for r1.',
    ),
  systemMessage: z
    .string()
    .optional()
    .describe("Of rows whose history has none of their own. Default: the chat template's own."),
  promptTemplate: z
    .string()
    .includes('{question}')
    .default('{question}')
    .describe("The user's message; {question} stands for the question."),
  replies: z
    .enum(['last', 'all'])
    .default('last')
    .describe(
      'Which replies of a chat with a history are trained. all, of preset chat: the completion is messages, from the first ' +
        'reply on, whose ends the chat template writes; `end` is not used.',
    ),
  missing: z
    .enum(['error', 'drop'])
    .default('error')
    .describe('What becomes of a row without question, reasoning (not of preset chat) or answer.'),
});

export type QualityOptions = z.output<typeof qualityOptions>;
export type SelectOptions = z.output<typeof selectOptions>;
export type FormatOptions = z.output<typeof formatOptions>;
