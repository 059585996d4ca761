import { createHash } from 'node:crypto';
import { numberIn, type Row, textIn, UserError } from 'simmerkit';

/** What a graded or generated row says about the policy that it was made under. */
interface Policy {
  readonly id: string;
  readonly method: string;
  /** Null: no maximum. */
  readonly maxThinkingTokens: number | null;
  readonly ignore: number;
  readonly word: string;
}

/** What is kept of a graded sample. */
export interface SampleVerdict {
  readonly index: number;
  readonly verdict: string | null;
  readonly extracted: string | null;
  /** As the grader read it; null in older tables, and where it could not. */
  readonly parsed: string | null;
}

/** One problem under one policy. */
interface ProblemTally {
  /** Digest of the user's message; null in older tables. */
  readonly prompt: string | null;
  readonly answers: SampleVerdict[];
  samples: number;
  right: number;
  /** Whether the sample with the lowest index was right. */
  firstIsRight: boolean;
  firstIndex: number;
}

/** All graded samples of one model under one policy, added up. */
export class GradedRun {
  readonly problems = new Map<string, ProblemTally>();
  samples = 0;
  private readonly sums = { thinking: 0, answer: 0, waits: 0 };
  private readonly counts = {
    unparsed: 0,
    timedOut: 0,
    finished: 0,
    forced: 0,
    sequence: 0,
    extended: 0,
    cut: 0,
    /** Whose server said of their end what cannot be true. */
    disputed: 0,
    /** Whose thinking the model's context ended before its maximum. */
    contextCut: 0,
  };

  constructor(
    readonly model: string,
    readonly policy: Policy,
  ) {}

  add(row: Row): void {
    const verdict = textIn(row, 'verdict');
    const end = textIn(row, 'thinking_end');
    const interventions = (row.interventions ?? []) as readonly { readonly kind: string }[];
    const waits = interventions.filter((intervention) => intervention.kind === 'extended').length;
    this.samples++;
    this.sums.thinking += numberIn(row, 'thinking_tokens') ?? 0;
    this.sums.answer += numberIn(row, 'answer_tokens') ?? 0;
    this.sums.waits += waits;
    if (verdict === 'unparsed') this.counts.unparsed++;
    if (verdict === 'timedOut') this.counts.timedOut++;
    if (end === 'natural') this.counts.finished++;
    if (end === 'forced') this.counts.forced++;
    if (end === 'sequence') this.counts.sequence++;
    if (waits > 0) this.counts.extended++;
    if (textIn(row, 'finish_reason') === 'length') this.counts.cut++;
    if (textIn(row, 'finish_disputed') !== null) this.counts.disputed++;
    if (row.context_cut === true) this.counts.contextCut++;
    const index = numberIn(row, 'sample_index') ?? 0;
    const answer = { index, verdict, extracted: textIn(row, 'extracted'), parsed: textIn(row, 'parsed') };
    this.addVerdict(textIn(row, 'prompt_id') ?? '', answer, textIn(row, 'prompt'));
  }

  private addVerdict(problem: string, answer: SampleVerdict, prompt: string | null): void {
    const { index } = answer;
    const isRight = answer.verdict === 'right';
    const tally = this.problems.get(problem);
    if (tally === undefined) {
      this.problems.set(problem, {
        prompt: prompt === null ? null : createHash('sha256').update(prompt).digest('base64'),
        answers: [answer],
        samples: 1,
        right: Number(isRight),
        firstIsRight: isRight,
        firstIndex: index,
      });
      return;
    }
    tally.answers.push(answer);
    tally.samples++;
    tally.right += Number(isRight);
    if (index < tally.firstIndex) {
      tally.firstIndex = index;
      tally.firstIsRight = isRight;
    }
  }

  /** Each problem's share of right samples, problems in the order of their ids. */
  accuracies(): Float64Array {
    return Float64Array.from(this.problemIds(), (id) => {
      const tally = this.problems.get(id) as ProblemTally;
      return tally.right / tally.samples;
    });
  }

  /** Whether the other run has the same verdicts on the same problems. */
  hasVerdictsOf(other: GradedRun): boolean {
    const told = (run: GradedRun) =>
      JSON.stringify(run.problemIds().map((id) => [id, run.problems.get(id)?.answers.map(({ verdict }) => verdict)]));
    return told(this) === told(other);
  }

  /** Whether both runs were asked the problems that both have in the same words, as far as is known. */
  isAskedAs(other: GradedRun): boolean {
    return [...this.problems].every(([id, { prompt }]) => {
      const asked = other.problems.get(id)?.prompt ?? null;
      return prompt === null || asked === null || prompt === asked;
    });
  }

  problemIds(): string[] {
    return [...this.problems.keys()].sort();
  }

  /** Of a sample, in tokens or waits. */
  mean(of: keyof typeof this.sums): number {
    return this.sums[of] / this.samples;
  }

  share(of: keyof typeof this.counts): number {
    return this.counts[of] / this.samples;
  }
}

/** Graded runs by model and policy, in the order that they were first met. */
export class GradedRuns {
  private readonly runs = new Map<string, GradedRun>();

  /** The run of a row, made where it is the first. */
  runOf(row: Row): GradedRun {
    const model = textIn(row, 'model') ?? '';
    const id = textIn(row, 'policy') ?? '';
    const key = JSON.stringify([model, id]);
    const known = this.runs.get(key);
    if (known !== undefined) return known;
    const run = new GradedRun(model, {
      id,
      method: textIn(row, 'method') ?? 'none',
      maxThinkingTokens: numberIn(row, 'max_thinking_tokens'),
      ignore: numberIn(row, 'ignore_end_count') ?? 0,
      word: textIn(row, 'word') ?? '',
    });
    this.runs.set(key, run);
    return run;
  }

  all(): GradedRun[] {
    return [...this.runs.values()];
  }
}

/** Labels of the metrics of a run. */
export function runLabels(run: GradedRun): Record<string, string | number> {
  const { policy } = run;
  return {
    model: run.model,
    policy: policy.id,
    method: policy.method,
    ...(policy.maxThinkingTokens === null ? {} : { maxThinkingTokens: policy.maxThinkingTokens }),
    ignore: policy.ignore,
    word: policy.word,
  };
}

/** Two runs can be compared problem by problem only if they answered the same ones. @throws UserError `problems_differ` */
export function requireSameProblems(first: GradedRun, second: GradedRun): void {
  const missing = first.problemIds().find((id) => !second.problems.has(id));
  const extra = second.problemIds().find((id) => !first.problems.has(id));
  if (missing === undefined && extra === undefined) return;
  const name = (run: GradedRun) => `${run.model} at ${run.policy.id}`;
  throw new UserError(
    'problems_differ',
    `${name(first)} answered ${first.problems.size} problems and ${name(second)} ${second.problems.size}, not the same ones ` +
      `(e.g. ${missing ?? extra} only in ${missing === undefined ? name(second) : name(first)}).`,
    {
      kind: 'runFailed',
      hint: 'A paired comparison needs both to answer the same dataset: give both the same `dataset`.',
    },
  );
}
