import { filePath, z } from 'simmerkit';

const positive = z.int().min(1);

/** A field in a template. */
export const fieldInBraces = /\{([^{}]+)\}/;

const field = z.union([
  z.string().min(1),
  z.strictObject({
    field: z.string().min(1).describe('Name of the field; "metadata.level" and "traces.0" reach into it.'),
    pattern: z
      .string()
      .optional()
      .describe('Regular expression; the first group of its first match is taken, or the whole match.'),
    remove: z.array(z.string()).default([]).describe('Regular expressions; what matches is taken out.'),
    optional: z.boolean().default(false).describe('Whether rows may lack it; the column is then empty.'),
  }),
  z.strictObject({ value: z.union([z.string(), z.number(), z.boolean()]).describe('The same for every row.') }),
  z.strictObject({
    template: z
      .string()
      .regex(fieldInBraces, 'a template names a field in braces, such as "{title}: {body}"')
      .describe(
        'Text of several fields, such as "{title}: {body}"; what stands in braces is the name of a field or a path.',
      ),
    optional: z.boolean().default(false).describe('Whether rows may lack one of them; the column is then empty.'),
  }),
]);

/** A file of a dataset on Hugging Face. Nothing in it is `.` or `..`: its parts are folders of the cache, too. */
export const hubUri =
  /^hf:\/\/datasets\/(?!\.{1,2}\/)([\w.-]+)\/(?!\.{1,2}@)([\w.-]+)@(?!\.{1,2}\/)([\w.-]+)\/(?!(?:.*\/)?\.{1,2}(?:\/|$))(.+)$/;

const source = z.strictObject({
  path: filePath({ schemes: ['hf'] })
    .refine((path) => !path.startsWith('hf:') || hubUri.test(path), {
      error: 'a dataset on Hugging Face is hf://datasets/OWNER/NAME@REVISION/FILE',
    })
    .meta({
      file: true,
      description:
        'A file, a folder, a glob (data/**/*.jsonl.gz), or hf://datasets/OWNER/NAME@COMMIT/FILE, also a glob.',
    }),
  files: z
    .string()
    .default('*')
    .describe('Which files of a folder, by their names: * stands for any text, ? for one character.'),
  format: z
    .enum(['auto', 'jsonl', 'json', 'csv', 'parquet'])
    .default('auto')
    .describe(
      'auto: by the ending of the file; .tsv is csv with tabs. What ends in .gz, .zst or .xz is unpacked first.',
    ),
  delimiter: z
    .string()
    .regex(/^[^"\r\n]$/u, 'a delimiter is one character; a tab is "\\t", in double quotes')
    .optional()
    .describe('What stands between the columns of a CSV file, e.g. ";". Default: a comma, and a tab in .tsv files.'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
    .optional()
    .describe('What the file must be, as it is on disk.'),
  layout: z
    .enum(['columns', 'alpaca', 'sharegpt', 'messages', 'chat'])
    .default('columns')
    .describe(
      'columns: fields as they are. alpaca: instruction, input, output. sharegpt: conversations of from and value. ' +
        'messages: of role and content, and reasoning_content where there is one. These three give question, ' +
        'reasoning (what stands within <think>), answer and system. Rows of several turns count as lacking a column. ' +
        'chat: messages or conversations as a whole, with calls of tools and their definitions, as sft/train takes them: ' +
        'prompt (what comes before the first reply), completion and tools.',
    ),
  history: z
    .boolean()
    .default(false)
    .describe(
      'Of a layout: keeps rows of several turns. The last question and reply count; the system message and the turns ' +
        'before go, as messages, into the column history, which format writes before the question.',
    ),
  replies: z
    .enum(['all', 'last'])
    .default('all')
    .describe(
      'Of layout chat: which replies are trained. all: from the first one on. last: those to the last question, calls ' +
        'before the answer among them; what came before goes into prompt.',
    ),
  turns: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .optional()
    .describe(
      'Of layout sharegpt, messages or chat: the field that has the turns, e.g. chosen of preferences; [prompt, chosen] ' +
        'where they stand in several. Default: messages or conversations, as the layout has it.',
    ),
  fields: z
    .record(z.string().regex(/^[a-z][a-z0-9_]*$/, 'a column is named in lower-case letters, digits and _'), field)
    .refine((fields) => !('id' in fields), {
      path: ['id'],
      error:
        'id is made of the question, so that the same question has the same id everywhere; keep your own in another column, ' +
        'such as `fields: { key: id }`',
    })
    .default({})
    .describe(
      'Column to the field that it is taken from. question, reasoning, answer and domain are taken from fields of the ' +
        'same name where nothing is said; other columns are added.',
    ),
  where: z
    .record(z.string(), z.string())
    .default({})
    .describe(
      'Takes only rows whose field (by name or path) matches a regular expression, whatever the case. The others are ' +
        'counted in the log, and are no input: no decision tells of them.',
    ),
  limit: positive.optional().describe('Takes the first so many rows; what comes after them is not read.'),
  rows: positive.optional().describe('How many rows it must give, before any are dropped for what they lack.'),
  movable: z
    .boolean()
    .default(false)
    .describe('Whether a revision on Hugging Face may be a branch. Then what was fetched first is kept and used.'),
});

export const loadOptions = z.strictObject({
  sources: z
    .record(z.string().regex(/^[A-Za-z][\w.-]*$/, 'a source is named in letters, digits, _, . and -'), source)
    .refine((sources) => Object.keys(sources).length > 0, { error: 'name at least one source' })
    .describe('Name of a source to its file; the name goes into the column `source`.'),
  order: z
    .array(z.string())
    .optional()
    .describe(
      'All sources in the order in which their rows come; the order of `sources` itself, a map, does not count. ' +
        'Default: by their names.',
    ),
  types: z
    .record(z.string(), z.enum(['VARCHAR', 'BIGINT', 'DOUBLE', 'BOOLEAN']))
    .default({})
    .describe('Types of added columns that are not text.'),
  required: z
    .array(z.enum(['question', 'reasoning', 'answer', 'domain']))
    .default(['question'])
    .describe('Columns that no row may lack.'),
  missing: z
    .enum(['error', 'drop'])
    .default('error')
    .describe(
      'What becomes of a row that lacks a required column: the stage fails, or the row is dropped and counted.',
    ),
  malformed: z
    .enum(['error', 'drop'])
    .default('error')
    .describe(
      'What becomes of a row that is no JSON or no UTF-8, or has a key twice, half a character, or other fields than the ' +
        'header of its CSV file: the stage fails, or the row is dropped and counted.',
    ),
});

export type LoadOptions = z.output<typeof loadOptions>;
export type Source = LoadOptions['sources'][string];
export type Field = z.output<typeof field>;
