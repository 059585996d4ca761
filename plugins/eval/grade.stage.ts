import {
  type Columns,
  defineStage,
  type Grader,
  hasHistory,
  input,
  pace,
  type Row,
  requireColumns,
  shareInterval,
  type TableArtifact,
  textIn,
  UserError,
} from 'simmerkit';
import type { GradedRun } from './graded-run.js';
import { defaultGoldColumn, type Extraction, extractionSchema, gradeOptions } from './options.js';
import { sharesText } from './shares-text.js';
import { type Unread, unreadWarning } from './unread-answers.js';

/** What is read of generations. */
export const generationColumns: Columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  question: 'VARCHAR',
  prompt: 'VARCHAR',
  gold: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  method: 'VARCHAR',
  sample_index: 'INTEGER',
  max_thinking_tokens: 'INTEGER',
  ignore_end_count: 'INTEGER',
  word: 'VARCHAR',
  thinking: 'VARCHAR',
  answer: 'VARCHAR',
  thinking_tokens: 'INTEGER',
  answer_tokens: 'INTEGER',
  thinking_end: 'VARCHAR',
  finish_reason: 'VARCHAR',
  finish_disputed: 'VARCHAR',
  context_cut: 'BOOLEAN',
  interventions:
    'STRUCT(kind VARCHAR, position INTEGER, "text" VARCHAR, token_ids INTEGER[], character_offset INTEGER)[]',
};
const gradedColumns: Columns = {
  ...generationColumns,
  extracted: 'VARCHAR',
  parsed: 'VARCHAR',
  verdict: 'VARCHAR',
  explanation: 'VARCHAR',
};

/** Answers sent to the grader at a time: enough to keep it busy, few enough to stop and to report within a second. */
const batchSize = 128;

export const grade = defineStage({
  description: 'Extracts the final answer of each generation and has a grader compare it with the gold answer.',
  options: gradeOptions,
  inputs: {
    generations: input('generations', 'What a model answered, from budget-forcing/generate.'),
    dataset: input('dataset', 'The problems with their gold answers, where the grader needs them.'),
  },
  outputs: { graded: { type: 'dataset', description: 'One row per generation with its verdict.' } },
  reads: ({ goldColumn }) => ({
    generations: ['id', 'prompt_id', 'policy', 'answer'],
    dataset: ['id', ...(goldColumn === defaultGoldColumn ? [] : [goldColumn])],
  }),
  columns(_, columnsOf) {
    const asked = columnsOf('dataset');
    const history = asked?.includes('history') ? ['history'] : [];
    return { graded: asked && [...Object.keys(gradedColumns), ...history] };
  },
  estimate: async (options, { inputs, grader }) => {
    const [{ rows } = {}] = [inputs.generations].flat();
    const answers = typeof rows === 'number' ? rows : undefined;
    const grading = await grader(options.grader, answers);
    return { ...grading, outputs: answers === undefined ? {} : { graded: { rows: answers } } };
  },
  async run(context) {
    const { extractor } = await import('./extraction.js');
    const { GradedRuns } = await import('./graded-run.js');
    const { measureRun } = await import('./run-metrics.js');
    const { options, inputs } = context;
    if (inputs.generations.rowCount === 0) {
      throw new UserError('empty_generations', 'There is no generation to grade.', {
        kind: 'runFailed',
        hint: 'Look at the stage that made the generations, and at the dataset that it was given.',
      });
    }
    const startGrader = () => context.grader(options.grader.uses, options.grader.with);
    const problems = await readProblems(inputs.dataset, options.goldColumn, startGrader);
    const extraction = options.extraction === 'task' ? extractionOf(inputs.dataset) : options.extraction;
    const extract = extractor(extraction, options.answerDelimiter);
    const { task, grader: meant } = inputs.dataset.metadata;
    if (typeof meant === 'string' && meant !== options.grader.uses) {
      context.log.warning(`${task} is meant to be graded by ${meant}; this stage uses ${options.grader.uses}.`);
    }
    const grader = await startGrader();
    const steps = pace(context, { unit: 'answers', total: inputs.generations.rowCount });
    // Whoever trains on the samples wants what was said before the question, too.
    const historyType = hasHistory(inputs.dataset) ? inputs.dataset.columns.history : undefined;
    const runs = new GradedRuns();
    const unread = new Map<GradedRun, Unread>();
    let right = 0;

    async function* gradedRows(): AsyncIterable<Row> {
      for await (const rows of batches(inputs.generations.rows(), batchSize)) {
        const answers: Answer[] = [];
        for (const row of rows) {
          const extracted = extract(textIn(row, 'answer') ?? '');
          answers.push({ row, problem: problemOf(row, problems), extracted });
          // A pattern of the recipe may take a second for each.
          await steps.step(undefined, 0);
        }
        const grades = await gradeAnswers(grader, answers, context.signal);
        for (const [index, { row, problem, extracted }] of answers.entries()) {
          const grade = grades[index];
          const graded: Row = {
            ...Object.fromEntries(Object.keys(generationColumns).map((name) => [name, row[name] ?? null])),
            question: problem.question,
            gold: problem.gold,
            ...(historyType === undefined ? {} : { history: problem.history }),
            model: options.label ?? textIn(row, 'model') ?? 'model',
            extracted,
            parsed: grade?.parsedAnswer || null,
            verdict: grade?.verdict ?? 'unparsed',
            explanation: grade?.explanation ?? 'No final answer was found.',
          };
          const run = runs.runOf(graded);
          run.add(graded);
          if (graded.verdict === 'unparsed') {
            const { notFound, explanation } = unread.get(run) ?? { notFound: 0, explanation: undefined };
            unread.set(run, {
              notFound: notFound + Number(extracted === null),
              explanation: explanation ?? grade?.explanation,
            });
          }
          if (grade?.verdict === 'right') right++;
          yield graded;
          await steps.step(() => accuracyFigures(right, steps.done));
        }
      }
    }
    const graded = await context.artifacts.writeDataset(gradedRows(), {
      columns: historyType === undefined ? gradedColumns : { ...gradedColumns, history: historyType },
      metadata: { grader: options.grader.uses, extraction },
    });
    await steps.finish(accuracyFigures(right, steps.done));
    for (const run of runs.all()) {
      for (const metric of measureRun(run, { draws: options.draws, seed: context.seed })) await context.emit(metric);
    }
    const cut = runs.all().filter((run) => run.share('cut') > 0.5);
    if (cut.length > 0) {
      context.log.warning(
        `More than half of the answers were cut at their length limit (${sharesText(cut, 'cut')}). Either the model never ` +
          'ends a reply, and has to be trained on replies that end, or sampling.maxAnswerTokens is too small.',
      );
    }
    const warning = unreadWarning(runs.all(), unread, extraction);
    if (warning !== undefined) context.log.warning(warning);
    return { graded };
  },
});

/** As the dataset's task says. */
function extractionOf({ metadata }: TableArtifact): Extraction {
  return metadata.extraction === undefined ? 's1' : extractionSchema.parse(metadata.extraction);
}

/** What a live view shows of the answers graded so far. */
function accuracyFigures(right: number, graded: number): Readonly<Record<string, number>> {
  const [accuracyLow, accuracyHigh] = shareInterval(right, graded);
  return { accuracy: right / graded, accuracyLow, accuracyHigh };
}

interface Problem {
  readonly question: string | null;
  readonly gold: string | null;
  readonly history: unknown;
}

interface Answer {
  readonly row: Row;
  readonly problem: Problem;
  readonly extracted: string | null;
}

/** @param startGrader is called where a problem has no gold answer, since the grader may need none */
async function readProblems(
  dataset: TableArtifact,
  goldColumn: string,
  startGrader: () => Promise<Grader>,
): Promise<ReadonlyMap<string, Problem>> {
  const problems = new Map<string, Problem>();
  let needsGold: boolean | undefined;
  for await (const row of dataset.rows()) {
    const id = textIn(row, 'id') ?? '';
    const gold = textIn(row, goldColumn);
    const isKnown = gold !== null && gold.trim() !== '';
    if (!isKnown) {
      needsGold ??= (await startGrader()).needsGold ?? true;
      if (needsGold) throw goldMissing(dataset, id, goldColumn);
    }
    const known = problems.get(id);
    if (known !== undefined && known.gold !== (isKnown ? gold : null)) throw goldAmbiguous(id);
    problems.set(id, { question: textIn(row, 'question'), gold: isKnown ? gold : null, history: row.history });
  }
  return problems;
}

function goldAmbiguous(id: string): UserError {
  return new UserError('invalid_problem', `The dataset has problem ${id} twice, with different gold answers.`, {
    kind: 'runFailed',
    hint: 'Grade against the dataset that the generations were made from.',
  });
}

function goldMissing(dataset: TableArtifact, id: string, goldColumn: string): UserError {
  requireColumns(dataset, [goldColumn], 'The dataset');
  return new UserError('gold_missing', `Problem ${id} has no gold answer in column \`${goldColumn}\`.`, {
    kind: 'runFailed',
    hint:
      'Grade against a dataset whose every row has its answer, set `goldColumn`, or use a grader that needs none: ' +
      'eval/judge with a `prompt` without {gold}.',
  });
}

function problemOf(row: Row, problems: ReadonlyMap<string, Problem>): Problem {
  const id = textIn(row, 'prompt_id') ?? '';
  const problem = problems.get(id);
  if (problem !== undefined) return problem;
  throw new UserError('problem_unknown', `A generation answers problem ${id}, which the dataset does not have.`, {
    kind: 'runFailed',
    hint: 'Grade against the dataset that the generations were made from.',
  });
}

/** Grades in the order of the answers; undefined where there was nothing to grade. */
async function gradeAnswers(grader: Grader, answers: readonly Answer[], signal: AbortSignal) {
  const ids = uniqueIds(answers);
  const items = answers.flatMap(({ row, problem, extracted }, index) => {
    if (extracted === null) return [];
    const question = textIn(row, 'prompt') ?? problem.question ?? '';
    const asked = question.trim() === '' ? {} : { question };
    return [{ id: ids[index] as string, gold: problem.gold ?? '', answer: extracted, ...asked }];
  });
  const grades = items.length === 0 ? [] : await grader.grade(items, signal);
  const byId = new Map(grades.map((grade) => [grade.id, grade]));
  return ids.map((id) => byId.get(id));
}

/** Those of the rows, by which a grader names what it says something of; their places where rows share an id. */
function uniqueIds(answers: readonly Answer[]): readonly string[] {
  const ids = answers.map(({ row }) => textIn(row, 'id') ?? '');
  return new Set(ids).size === ids.length ? ids : ids.map((_, index) => String(index));
}

async function* batches(rows: AsyncIterable<Row>, size: number): AsyncIterable<Row[]> {
  let batch: Row[] = [];
  for await (const row of rows) {
    batch.push(row);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
