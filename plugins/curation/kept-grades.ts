import { join } from 'node:path';
import { type Grade, type GradeItem, type Grader, type Log, type PaidReply, ReplyJournal } from 'simmerkit';

/** How an answer was graded. */
export type KeptGrade = PaidReply & Pick<Grade, 'verdict' | 'parsedAnswer' | 'explanation'>;

interface Grading {
  readonly signal: AbortSignal;
  grader(uses: string, options?: Readonly<Record<string, unknown>>): Promise<Grader>;
}

interface GraderChoice {
  readonly uses: string;
  readonly with: Readonly<Record<string, unknown>>;
}

const free = { inputTokens: 0, outputTokens: 0, dollars: 0 };

/**
 * Grades of a stage, on the disk before they count: one that was killed does not wait for a slow grader again. What a judge
 * is paid for it keeps itself.
 */
export class KeptGrades implements AsyncDisposable {
  private withoutGold: Promise<boolean> | undefined;

  private constructor(private readonly journal: ReplyJournal<KeptGrade>) {}

  static async open(scratchFolder: string, log: Log): Promise<KeptGrades> {
    return new KeptGrades(await ReplyJournal.open<KeptGrade>(join(scratchFolder, 'grades'), log));
  }

  get(id: string): KeptGrade | undefined {
    return this.journal.get(id);
  }

  /** Whether rows without a right answer are graded, too. Starts the grader: ask where there is such a row. */
  areMadeWithoutGold({ grader }: Grading, choice: GraderChoice): Promise<boolean> {
    this.withoutGold ??= grader(choice.uses, choice.with).then(({ needsGold }) => needsGold === false);
    return this.withoutGold;
  }

  /** Grades those that have no grade yet; the grader is started where there are any. Empty answers get none. */
  async grade({ grader, signal }: Grading, choice: GraderChoice, items: readonly GradeItem[]): Promise<void> {
    const missing = items.filter(({ id, answer }) => answer.trim() !== '' && !this.journal.has(id));
    if (missing.length === 0) return;
    const grades = await (await grader(choice.uses, choice.with)).grade(missing, signal);
    await Promise.all(
      grades.map(({ id, verdict, parsedAnswer, explanation }) =>
        this.journal.add({ id, verdict, parsedAnswer, explanation, ...free }),
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.journal[Symbol.asyncDispose]();
  }
}
