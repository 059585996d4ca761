import {
  type Artifact,
  askedMessages,
  type Grader,
  historyIn,
  type Row,
  requireColumns,
  shortened,
  type TableArtifact,
  textIn,
} from 'simmerkit';
import type { AskingContext, Question, Reply } from './answerer.js';
import { askingProgress, askQuestions } from './ask-questions.js';
import { attemptSampling, type DifficultyOptions, type Solver } from './asking-options.js';
import { KeptGrades } from './kept-grades.js';
import { nameOf, openAnswerer } from './open-answerer.js';
import { type OpenReplies, openReplies } from './open-replies.js';

type Context = AskingContext & {
  readonly options: DifficultyOptions;
  readonly inputs: { readonly dataset: TableArtifact; readonly models: readonly Artifact[] };
  grader(uses: string, options?: Readonly<Record<string, unknown>>): Promise<Grader>;
};

/** A solver with what it said so far. */
interface Solving {
  readonly solver: Solver;
  readonly name: string;
  readonly replies: OpenReplies;
  samples: number;
  right: number;
}

interface Attempt {
  readonly solving: Solving;
  readonly row: Row;
  readonly index: number;
  readonly reply: Reply;
  readonly gold: string;
}

const gradedAtOnce = 128;

/** The attempts of models at problems: what they answered and how it was graded, kept as it comes. */
export class Attempts implements AsyncDisposable {
  private constructor(
    private readonly context: Context,
    private readonly solvings: readonly Solving[],
    private readonly grades: KeptGrades,
  ) {}

  static async open(context: Context): Promise<Attempts> {
    const { options, scratchFolder, log } = context;
    const solvings: Solving[] = [];
    for (const [index, solver] of options.solvers.entries()) {
      const replies = await openReplies(context, solver, attemptSampling(options), `solver-${index}`);
      solvings.push({ solver, name: nameOf(solver), replies, samples: 0, right: 0 });
    }
    return new Attempts(context, solvings, await KeptGrades.open(scratchFolder, log));
  }

  /** Asks all models, side by side, for what is missing. After a failure of one the others begin nothing new. */
  async make(): Promise<void> {
    const { context, solvings } = this;
    const { options, inputs } = context;
    if (solvings.length === 0) return;
    const total = inputs.dataset.rowCount * options.attempts * solvings.length;
    const progress = askingProgress(
      context,
      solvings.map(({ replies }) => replies.journal),
      total,
    );
    let failure: { readonly error: unknown } | undefined;
    const models = [...inputs.models];
    const withModels = solvings.map(({ solver, replies }) => ({
      solver,
      replies,
      model: solver.trainer === undefined ? undefined : models.shift(),
    }));
    await Promise.all(
      withModels.map(async ({ solver, replies, model }) => {
        try {
          await askQuestions(
            context,
            this.questions(() => failure !== undefined),
            {
              ...replies,
              progress,
              answerer: () => openAnswerer(context, solver, replies.journal, { name: 'models', model }),
              sampling: {
                ...attemptSampling(options),
                ...(solver.trainer === undefined ? {} : { seed: context.seed }),
              },
            },
          );
        } catch (error) {
          failure ??= { error };
        }
      }),
    );
    if (failure !== undefined) throw failure.error;
    await progress.finish();
  }

  /** All attempts with their grades, problem by problem. */
  async *graded(): AsyncIterable<Row> {
    if (this.solvings.length === 0) return;
    const { grader: choice } = this.context.options;
    let batch: Attempt[] = [];
    for await (const attempt of this.attempts()) {
      batch.push(attempt);
      if (batch.length < gradedAtOnce) continue;
      yield* await this.gradeBatch(batch, choice);
      batch = [];
    }
    yield* await this.gradeBatch(batch, choice);
  }

  /** Tells how often each model was right, and what it cost. Call after `graded`. */
  async measure(): Promise<void> {
    const { stage } = this.context;
    for (const { name, replies, samples, right } of this.solvings) {
      const { outputTokens, dollars } = replies.journal.totals;
      for (const [figure, value, unit] of [
        ['right', samples === 0 ? 0 : right / samples, 'share'],
        ['output-tokens', outputTokens, 'tokens'],
        ...(dollars > 0 ? [['dollars', dollars, 'dollars'] as const] : []),
      ] as const) {
        const data = { name: `${stage}.${name}.${figure}`, value, unit, count: samples, labels: { model: name } };
        await this.context.emit({ type: 'metric.measured', data });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { replies } of this.solvings) await replies.journal[Symbol.asyncDispose]();
    await this.grades[Symbol.asyncDispose]();
  }

  private async *questions(isOver: () => boolean): AsyncIterable<Question> {
    const { options, inputs } = this.context;
    const historyOf = historyIn(inputs.dataset);
    for await (const row of inputs.dataset.rows()) {
      const question = textIn(row, options.column) ?? '';
      if (question.trim() === '' || (await this.goldOf(row)) === undefined) continue;
      const content = askedOf(row, options);
      for (let index = 0; index < options.attempts; index++) {
        if (isOver()) return;
        yield { id: `${textIn(row, 'id')}/${index}`, messages: askedMessages(content, historyOf(row)) };
      }
    }
  }

  private async *attempts(): AsyncIterable<Attempt> {
    const { options, inputs } = this.context;
    const seen = new Set<string>();
    for await (const row of inputs.dataset.rows()) {
      const id = textIn(row, 'id') ?? '';
      const gold = await this.goldOf(row);
      if (gold === undefined || seen.has(id)) continue;
      seen.add(id);
      for (const solving of this.solvings) {
        for (let index = 0; index < options.attempts; index++) {
          const reply = solving.replies.journal.get(`${id}/${index}`);
          if (reply !== undefined) yield { solving, row, index, reply, gold };
        }
      }
    }
  }

  /** Empty where nobody knows one; undefined where the attempt could not be graded without. */
  private async goldOf(row: Row): Promise<string | undefined> {
    const { options, inputs } = this.context;
    const gold = textIn(row, options.goldColumn) ?? '';
    if (gold.trim() !== '') return gold;
    if (await this.grades.areMadeWithoutGold(this.context, options.grader)) return '';
    requireColumns(inputs.dataset, [options.goldColumn], 'The dataset');
    return undefined;
  }

  private async gradeBatch(batch: readonly Attempt[], choice: DifficultyOptions['grader']): Promise<Row[]> {
    const items = batch.map((attempt) => ({
      id: gradeId(attempt),
      gold: attempt.gold,
      answer: attempt.reply.answer,
      question: askedOf(attempt.row, this.context.options),
    }));
    await this.grades.grade(this.context, choice, items);
    return batch.map((attempt) => this.rowOf(attempt));
  }

  private rowOf(attempt: Attempt): Row {
    const { solving, row, index, reply, gold } = attempt;
    const grade = this.grades.get(gradeId(attempt));
    const verdict = grade?.verdict ?? 'unparsed';
    if (reply.finish !== 'refused') solving.samples++;
    if (verdict === 'right') solving.right++;
    return {
      id: `${solving.name}/${reply.id}`,
      prompt_id: textIn(row, 'id'),
      question: textIn(row, this.context.options.column),
      gold: gold === '' ? null : gold,
      model: solving.name,
      sample_index: index,
      thinking: reply.reasoning,
      answer: reply.answer,
      finish_reason: reply.finish,
      extracted: grade === undefined ? null : shortened(grade.parsedAnswer),
      verdict,
      explanation: grade?.explanation ?? reply.refusal ?? 'There is no answer.',
    };
  }
}

function gradeId({ solving, reply }: Attempt): string {
  return `${solving.name}/${reply.id}`;
}

/** The user's message. */
function askedOf(row: Row, { column, promptTemplate }: DifficultyOptions): string {
  // Split and joined, not replaced: a question may hold "$&".
  return promptTemplate.split('{question}').join(textIn(row, column) ?? '');
}
