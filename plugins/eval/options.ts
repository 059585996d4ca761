import { graderChoice, patternFault, z } from 'simmerkit';

export const draws = z.int().min(100).default(10_000).describe('Bootstrap draws of each interval. s1: 10,000.');

/** How a final answer is found; see the option `extraction`. */
export const extractionSchema = z.union([
  z.enum(['s1', 'whole']),
  z
    .strictObject({
      pattern: z.string().describe('Regular expression; the last match counts, its first group where it has one.'),
      flags: z.string().default('').describe('Flags of the expression, e.g. "i".'),
    })
    .superRefine(({ pattern, flags }, refinement) => {
      const fault = patternFault(pattern, flags);
      if (fault === undefined) return;
      const { reason, hint } = fault;
      const message = `it is no regular expression: ${reason}.`;
      refinement.addIssue({ code: 'custom', path: ['pattern'], message, params: { hint } });
    }),
]);

/** Datasets may lack it, where the grader needs no right answers; a column that a recipe names must be there. */
export const defaultGoldColumn = 'answer';

export const gradeOptions = z.strictObject({
  label: z
    .string()
    .min(1)
    .optional()
    .describe('What the model is called in metrics and reports. Default: the label that its generations carry.'),
  goldColumn: z
    .string()
    .default(defaultGoldColumn)
    .describe('Column of the dataset with the right answer. A grader that needs none takes rows without one.'),
  extraction: z
    .union([z.literal('task'), extractionSchema])
    .default('task')
    .describe(
      "How the final answer is found in the answer's text. s1: after the last answer delimiter the last \\boxed{}, else " +
        'what follows the last "Answer:", without Markdown\'s emphasis. whole: all of it. task: as the task of the dataset ' +
        'says, and s1 where there is none.',
    ),
  answerDelimiter: z
    .string()
    .min(1)
    .default('<|im_start|>answer')
    .describe('What extraction s1 takes for the start of an answer, should the model repeat it.'),
  grader: graderChoice('eval/exact'),
  draws,
});

export const compareOptions = z.strictObject({ draws });

export const exactOptions = z.strictObject({
  number: z
    .enum(['whole', 'first', 'last'])
    .default('whole')
    .describe(
      'Where the gold answer is a number, what is read as one: the whole answer ("42"), or the first or last number in ' +
        'it ("42 marbles").',
    ),
});

export type Extraction = z.output<typeof extractionSchema>;
export type ExactOptions = z.output<typeof exactOptions>;
