import { isAbsolute } from 'node:path';
import { z } from 'simmerkit';
import { extractionSchema } from './options.js';

/** A benchmark: what `eval/task` reads and asks. The same in a YAML file of the user's. */
export const taskSchema = z.strictObject({
  name: z.string().min(1).describe('What it is called.'),
  file: z
    .string()
    .min(1)
    // Whoever may name a task, a client of a server for example, may not therefore name any file.
    .refine((name) => !isAbsolute(name) && !name.split('/').includes('..'), 'it is a name in the data folder')
    .describe('Its data: JSONL or CSV, by the ending; sought in the data folder.'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
    .optional()
    .describe('Of the file. Absent: whatever is there is taken.'),
  fields: z
    .strictObject({
      question: z.string().min(1).describe('Field with the question.'),
      answer: z
        .string()
        .min(1)
        .optional()
        .describe('Field with the gold answer. Absent: nobody knows one, and the grader is one that needs none.'),
      wrong: z
        .array(z.string().min(1))
        .default([])
        .describe('Fields with wrong choices; with them the task is a choice.'),
    })
    .refine(({ answer, wrong }) => answer !== undefined || wrong.length === 0, {
      path: ['answer'],
      error: 'a choice has the right one beside those that are wrong',
    })
    .describe('Where question and answer are.'),
  answerPattern: z.string().optional().describe('Regular expression; its first group is the gold answer in the field.'),
  prompt: z.string().includes('{question}').default('{question}').describe('What is asked.'),
  extraction: extractionSchema.default('s1').describe('What eval/grade takes where its recipe names none.'),
  grader: z
    .string()
    .optional()
    .describe(
      'Who it is meant to be graded by; eval/grade says so where its recipe names another. Default: eval/math-verify; where ' +
        'there are no gold answers, nobody.',
    ),
});
export type Task = z.output<typeof taskSchema>;

const competition = {
  extraction: 's1',
  prompt: '{question}',
  grader: 'eval/math-verify',
} as const;
const problemFields = { question: 'problem', answer: 'answer', wrong: [] };

/** Checksums are those of the public files that the README names. */
export const tasks: Readonly<Record<string, Task>> = {
  aime24: {
    ...competition,
    name: 'AIME24',
    file: 'aime24.jsonl',
    sha256: 'af2b8bd2aa911b6333ad0df32f3ca05c7ae8ed10f1731f4372c8ae26990bf7ac',
    fields: problemFields,
  },
  aime25: { ...competition, name: 'AIME25', file: 'aime25.jsonl', fields: problemFields },
  math500: {
    ...competition,
    name: 'MATH500',
    file: 'math500.jsonl',
    sha256: '35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132',
    fields: problemFields,
  },
  gsm8k: {
    ...competition,
    name: 'GSM8K',
    file: 'gsm8k_test.jsonl',
    sha256: '3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14',
    fields: { question: 'question', answer: 'answer', wrong: [] },
    answerPattern: '####\\s*(.+)$',
  },
  'gpqa-diamond': {
    ...competition,
    name: 'GPQA Diamond',
    file: 'gpqa_diamond.csv',
    fields: {
      question: 'Question',
      answer: 'Correct Answer',
      wrong: ['Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3'],
    },
    grader: 'eval/choice',
  },
};
