import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  defineStage,
  filePath,
  isUserError,
  matchInTime,
  optionalInput,
  parseExactJson,
  type Row,
  random,
  type TableArtifact,
  UserError,
  z,
} from 'simmerkit';
import { type Task, taskSchema, tasks } from './tasks.js';

const taskOptions = z.strictObject({
  task: z
    .enum(['aime24', 'aime25', 'math500', 'gsm8k', 'gpqa-diamond'])
    .optional()
    .describe('One of the known benchmarks.'),
  file: filePath({ schemes: [] }).optional().meta({ file: true, description: 'A task of your own: a YAML file.' }),
  data: filePath({ schemes: [] })
    .optional()
    .meta({ file: true, description: 'The data file itself. Default: the task names it, in the folder SIMMER_DATA.' }),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
    .optional()
    .describe("The data's checksum, in place of the task's own."),
  sample: z
    .int()
    .min(1)
    .optional()
    .describe('Only so many of its problems, for a quick look: the same ones whatever the seed. Default: all.'),
});

const columns = { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR', source: 'VARCHAR' } as const;

export const task = defineStage({
  description: 'Loads a benchmark: AIME24, AIME25, MATH500, GPQA Diamond, GSM8K, or one that a YAML file describes.',
  options: taskOptions,
  inputs: {
    records: optionalInput(
      'dataset',
      'The data in place of a file, as `curation/load` fetches it: `question`, `answer`, and of a choice `wrong_1`, `wrong_2`, ...',
    ),
  },
  outputs: {
    dataset: { type: 'dataset', description: 'Problems with `id`, `question` as it is asked, and `answer`.' },
  },
  async check(options, { recipeFolder, inputs }) {
    if ((options.task === undefined) === (options.file === undefined)) {
      return [{ path: 'task', code: 'task_unclear', message: 'Give either `task` or `file`.' }];
    }
    try {
      const chosen = await chosenTask(options, recipeFolder);
      if (inputs?.records === 0) requirePinned(chosen, options);
      return [];
    } catch (error) {
      if (!isUserError(error)) throw error;
      const { code, message, hint } = error;
      return [
        { path: options.file === undefined ? 'task' : 'file', code, message, ...(hint === undefined ? {} : { hint }) },
      ];
    }
  },
  columns: () => ({ dataset: Object.keys(columns) }),
  async run(context) {
    const { options, inputs, recipeFolder, seed } = context;
    const chosen = await chosenTask(options, recipeFolder);
    const place = inputs.records?.uri ?? dataFile(chosen, options, recipeFolder);
    const records =
      inputs.records === undefined
        ? await recordsOf(place, options.sha256 ?? chosen.sha256, chosen)
        : await recordsIn(inputs.records, chosen);
    const idOf = problemIds(chosen);
    const rows = records.map((record, index) =>
      problemOf(chosen, record, { place: `${place}, record ${index + 1}`, seed, idOf }),
    );
    if (rows.length === 0) {
      throw new UserError('empty_dataset', `${place} has no problem.`, { kind: 'environment', hint: 'Get it again.' });
    }
    const { name, extraction, fields } = chosen;
    const { grader = fields.answer === undefined ? undefined : 'eval/math-verify' } = chosen;
    const { sample = rows.length } = options;
    if (sample < rows.length) {
      context.log.warning(
        `Only ${sample} of the ${rows.length} problems of ${name}: for a quick look, no score of ${name}.`,
      );
    }
    return {
      dataset: await context.artifacts.writeDataset(sampleOf(rows, sample), {
        columns,
        metadata: { task: name, extraction, ...(grader === undefined ? {} : { grader }) },
      }),
    };
  },
});

/** Drawn by the ids, so that runs with different seeds are scored on the same problems. In their order. */
function sampleOf(rows: readonly Row[], count: number): readonly Row[] {
  const drawn = rows
    .map((row, index) => ({ index, draw: createHash('sha256').update(`sample/${row.id}`).digest('hex') }))
    .toSorted((one, other) => (one.draw < other.draw ? -1 : 1));
  const chosen = new Set(drawn.slice(0, count).map(({ index }) => index));
  return rows.filter((_, index) => chosen.has(index));
}

type TaskOptions = z.output<typeof taskOptions>;

async function chosenTask(options: TaskOptions, recipeFolder: string): Promise<Task> {
  if (options.task === undefined) return readTask(resolve(recipeFolder, options.file ?? ''));
  const known = tasks[options.task];
  if (known === undefined) throw new Error(`no task ${options.task}`);
  return known;
}

async function readTask(file: string): Promise<Task> {
  const { parse } = await import('yaml');
  const invalid = (what: string) =>
    new UserError('invalid_task', `${file}: ${what}`, { hint: 'The README of eval has an example of a task.' });
  let content: unknown;
  try {
    content = parse(await readFile(file, 'utf8'), { maxAliasCount: 10 });
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
  if (content === null) throw invalid('it is empty.');
  const parsed = taskSchema.safeParse(content);
  if (parsed.success) {
    const { fields, answerPattern } = parsed.data;
    if (answerPattern === undefined || fields.answer !== undefined) return parsed.data;
    throw invalid('answerPattern: it is for the field with the gold answer: name that as `answer` in `fields`.');
  }
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  throw invalid(`${problems.join('; ')}.`);
}

/** The stage's key covers a file that is named, and a checksum; it would not notice another file in the data folder. */
function requirePinned(chosen: Task, options: TaskOptions): void {
  if ((options.data ?? options.sha256 ?? chosen.sha256) !== undefined) return;
  throw new UserError('data_unpinned', `${chosen.name} has no known checksum: name its data, or its checksum.`, {
    hint: `Beside \`file\` or \`task\`, give the stage \`data\`, the path of ${chosen.file}, or \`sha256\`.`,
  });
}

/** Where the data is. @throws UserError where nobody says which file it is */
function dataFile(chosen: Task, options: TaskOptions, recipeFolder: string): string {
  requirePinned(chosen, options);
  if (options.data !== undefined) return resolve(recipeFolder, options.data);
  const folder = process.env.SIMMER_DATA;
  if (folder !== undefined) return resolve(folder, chosen.file);
  throw new UserError('data_missing', `${chosen.name} needs ${chosen.file}, which is not part of Simmer.`, {
    kind: 'environment',
    hint: 'Give its path as `data`, or set SIMMER_DATA to the folder that has it.',
  });
}

async function recordsOf(file: string, sha256: string | undefined, chosen: Task): Promise<DataRecord[]> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new UserError('file_missing', `${file} cannot be read: ${error.code}.`, {
      kind: 'environment',
      hint: `Put the data of ${chosen.name} there, or give its path as \`data\`.`,
    });
  });
  checkSha256(file, bytes, sha256);
  const text = textOf(file, bytes);
  return file.endsWith('.csv') ? csvRecords(file, text) : jsonRecords(file, text);
}

/** The rows of a dataset, under the names that the task has for its fields. */
async function recordsIn(table: TableArtifact, { fields }: Task): Promise<DataRecord[]> {
  const names: Record<string, string> = { [fields.question]: 'question' };
  if (fields.answer !== undefined) names[fields.answer] = 'answer';
  for (const [index, field] of fields.wrong.entries()) names[field] = `wrong_${index + 1}`;
  const records: DataRecord[] = [];
  for await (const row of table.rows()) {
    records.push(Object.fromEntries(Object.entries(names).map(([field, column]) => [field, row[column]])));
  }
  return records;
}

/** Without a byte order mark. */
function textOf(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    // Decoded leniently, the first thing that is not UTF-8 is the first replacement character.
    const before = bytes.toString('utf8').split('\ufffd', 1)[0] ?? '';
    throw new UserError('not_utf8', `${file}, line ${before.split('\n').length} is not UTF-8 text.`, {
      kind: 'environment',
      hint: `Convert the file first: iconv -f latin1 -t utf8 ${file}`,
      cause: error,
    });
  }
}

function checkSha256(file: string, bytes: Buffer, expected: string | undefined): void {
  const found = createHash('sha256').update(bytes).digest('hex');
  if (expected === undefined || found === expected) return;
  throw new UserError('checksum_differs', `The SHA-256 of ${file} is ${found}, expected ${expected}.`, {
    kind: 'environment',
    hint: 'It is another version, or was not downloaded completely. To use it all the same, give its `sha256`.',
  });
}

type DataRecord = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is DataRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const otherForms = 'Other forms are for curation/load; eval/task takes its dataset as `records`.';

function jsonRecords(file: string, text: string): DataRecord[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    try {
      const record = parseExactJson(line);
      if (!isRecord(record)) throw new SyntaxError('no object');
      return [record];
    } catch {
      throw new UserError('invalid_json', `${file}, line ${index + 1} is no JSON object.`, {
        hint: `JSONL has one object a line, and the names of CSV files end in .csv. ${otherForms}`,
      });
    }
  });
}

async function csvRecords(file: string, text: string): Promise<DataRecord[]> {
  const { CsvError, parse } = await import('csv-parse/sync');
  try {
    return parse(text, { columns: true, bom: true }) as DataRecord[];
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError('invalid_csv', `${file} is no CSV with commas between its columns: ${error.message}.`, {
      hint: otherForms,
    });
  }
}

/**
 * A problem's id is that of its question. "Which of these is true?" may be asked again of other choices: the id of the
 * first is then as if it were alone, and those of the others cover the choices.
 */
function problemIds({ fields }: Task): (question: string, record: DataRecord) => string {
  const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);
  const first = new Map<string, string>();
  return (question, record) => {
    const choices = fields.wrong.length === 0 ? [] : [fields.answer as string, ...fields.wrong];
    const asked = JSON.stringify([question, ...choices.map((field) => String(record[field]).trim())]);
    if (!first.has(question)) first.set(question, asked);
    return digest(first.get(question) === asked ? question : asked);
  };
}

interface RecordContext {
  readonly place: string;
  readonly seed: number;
  idOf(question: string, record: DataRecord): string;
}

function problemOf(chosen: Task, record: DataRecord, { place, seed, idOf }: RecordContext): Row {
  const read = (field: string) => {
    const given = record[field] ?? '';
    if (typeof given === 'object') {
      throw new UserError(
        'invalid_field',
        `${place}: \`${field}\` is ${JSON.stringify(given)}, and no text or number.`,
        {
          hint: 'Name another field in `fields` of the task, or write in the file what is asked and what is right.',
        },
      );
    }
    const value = String(given).trim();
    if (value !== '') return value;
    throw new UserError('gold_missing', `${place} has no \`${field}\`.`, {
      hint: `It has ${Object.keys(record).join(', ')}. Correct \`fields\` of the task, or the file.${openHint(field, chosen)}`,
    });
  };
  const question = read(chosen.fields.question);
  const id = idOf(question, record);
  const asked = (text: string) => chosen.prompt.split('{question}').join(text);
  const row = { id, source: chosen.name };
  if (chosen.fields.answer === undefined) return { ...row, question: asked(question), answer: null };
  const field = read(chosen.fields.answer);
  const gold = chosen.answerPattern === undefined ? field : firstGroup(new RegExp(chosen.answerPattern), field);
  if (gold === undefined) {
    throw new UserError(
      'gold_missing',
      `${place}: \`${chosen.fields.answer}\` does not match ${chosen.answerPattern}.`,
      {
        hint: 'Correct `answerPattern` of the task, or the file.',
      },
    );
  }
  if (chosen.fields.wrong.length === 0) return { ...row, question: asked(question), answer: gold };
  const options = random(seed, `choices/${id}`).shuffle([gold, ...chosen.fields.wrong.map(read)]);
  const letter = (index: number) => String.fromCharCode(65 + index);
  const listed = options.map((option, index) => `${letter(index)}) ${option}`).join('\n');
  return { ...row, question: asked(`${question}\n\n${listed}`), answer: letter(options.indexOf(gold)) };
}

function openHint(field: string, { fields }: Task): string {
  if (field !== fields.answer || fields.wrong.length > 0) return '';
  return ' Where questions have no one right answer, leave out `answer` in `fields`, and grade by eval/judge with a `prompt` without {gold}.';
}

function firstGroup(expression: RegExp, text: string): string | undefined {
  return matchInTime(expression, text, () => expression.exec(text)?.[1]?.trim());
}
