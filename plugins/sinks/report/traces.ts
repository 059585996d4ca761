import type { Row, TableArtifact } from 'simmerkit';
import { byMaximum, type ComparisonReport, longestRun } from './comparison-report.js';
import type { ForcingCount, Trace, TracePair } from './report-data.js';

/** Columns by which a table is known as graded answers; see the README of eval. */
const gradedColumns = [
  'prompt_id',
  'question',
  'gold',
  'model',
  'policy',
  'thinking',
  'answer',
  'verdict',
  'interventions',
];

export function isGraded(table: TableArtifact): boolean {
  return gradedColumns.every((column) => column in table.columns);
}

export interface GradedSample extends Trace {
  readonly promptId: string;
  readonly question: string;
  readonly gold: string | null;
}

/** Graded answers as the page needs them: counts of what forcing did, and the first sample of each problem. */
export class GradedAnswers {
  private readonly counts = new Map<string, ForcingCount>();
  private readonly samples = new Map<string, GradedSample>();

  async add(table: TableArtifact): Promise<void> {
    for await (const row of table.rows()) {
      const sample = toSample(row);
      this.count(sample);
      if (Number(row.sample_index) === 0) this.samples.set(keyOf(sample.model, sample.policy, sample.promptId), sample);
    }
  }

  forcing(): readonly ForcingCount[] {
    return [...this.counts.values()];
  }

  /** The first sample of every problem, model and policy, in the order of the tables. */
  firstSamples(): Iterable<GradedSample> {
    return this.samples.values();
  }

  /** A few problems of each tuned model, chosen by what happened to them and then by id, so that the same run shows the same ones. */
  pairs(report: ComparisonReport): readonly TracePair[] {
    return report.models.tuned.flatMap((model) => this.pairsOf(report, model));
  }

  private pairsOf(report: ComparisonReport, model: string): readonly TracePair[] {
    const untuned = longestRun(report, report.models.untuned[0]);
    const tuned = longestRun(report, model);
    if (untuned === undefined || tuned === undefined) return [];
    const smallest = byMaximum(report, model)[0];
    const waited = report.runs.find((run) => run.model === model && run.ignore > 0);
    const chosen: TracePair[] = [];
    const choose = (why: string, from: RunName, to: RunName, matches: (before: Trace, after: Trace) => boolean) => {
      const taken = new Set(chosen.map((pair) => pair.question));
      const pair = this.matching(from, to, matches).find(({ question }) => !taken.has(question));
      if (pair !== undefined) chosen.push({ why, ...pair });
    };
    const right = (trace: Trace) => trace.verdict === 'right';
    const forced = (trace: Trace, kind: string) => trace.interventions.some((one) => one.kind === kind);
    choose('Wrong before fine-tuning, right after', untuned, tuned, (before, after) => !right(before) && right(after));
    if (smallest !== undefined && smallest.policy !== tuned.policy) {
      choose(
        `Wrong where thinking was ended at ${smallest.maxThinkingTokens} tokens, right with more`,
        smallest,
        tuned,
        (before, after) => forced(before, 'ended') && !right(before) && right(after),
      );
    }
    if (waited !== undefined) {
      const helped = (before: Trace, after: Trace) => forced(after, 'extended') && !right(before) && right(after);
      const harmed = (before: Trace, after: Trace) => forced(after, 'extended') && right(before) && !right(after);
      choose('Waiting turned wrong into right', tuned, waited, helped);
      choose('Waiting turned right into wrong', tuned, waited, harmed);
      choose(
        'Waiting changed nothing',
        tuned,
        waited,
        (before, after) => forced(after, 'extended') && right(before) === right(after),
      );
    }
    choose('Right before and after', untuned, tuned, (before, after) => right(before) && right(after));
    choose('Wrong before and after', untuned, tuned, (before, after) => !right(before) && !right(after));
    choose('Right before, wrong after', untuned, tuned, (before, after) => right(before) && !right(after));
    return chosen;
  }

  private matching(
    from: RunName,
    to: RunName,
    matches: (before: Trace, after: Trace) => boolean,
  ): Omit<TracePair, 'why'>[] {
    return [...this.samples.values()]
      .filter((sample) => sample.model === to.model && sample.policy === to.policy)
      .sort((left, right) => (left.promptId < right.promptId ? -1 : 1))
      .flatMap((after) => {
        const before = this.samples.get(keyOf(from.model, from.policy, after.promptId));
        if (before === undefined || !matches(before, after)) return [];
        return [{ question: after.question, gold: after.gold, before, after }];
      });
  }

  private count(sample: GradedSample): void {
    const key = keyOf(sample.model, sample.policy, '');
    const { model, policy } = sample;
    const none = { model, policy, samples: 0, ended: 0, extended: 0, waits: 0, askedAfterEnd: 0, natural: 0 };
    const before = this.counts.get(key) ?? none;
    const waits = sample.interventions.filter((one) => one.kind === 'extended').length;
    this.counts.set(key, {
      model,
      policy,
      samples: before.samples + 1,
      ended: before.ended + Number(sample.thinkingEnd === 'forced'),
      extended: before.extended + Number(waits > 0),
      waits: before.waits + waits,
      askedAfterEnd: before.askedAfterEnd + Number(sample.thinkingEnd === 'sequence'),
      natural: before.natural + Number(sample.thinkingEnd === 'natural'),
    });
  }
}

interface RunName {
  readonly model: string;
  readonly policy: string;
}

function keyOf(model: string, policy: string, promptId: string): string {
  return JSON.stringify([model, policy, promptId]);
}

function toSample(row: Row): GradedSample {
  const interventions = (row.interventions ?? []) as readonly Readonly<Record<string, unknown>>[];
  return {
    promptId: String(row.prompt_id),
    question: String(row.question),
    gold: row.gold === null ? null : String(row.gold),
    model: String(row.model),
    policy: String(row.policy),
    method: String(row.method ?? 'budget-forcing'),
    maxThinkingTokens: typeof row.max_thinking_tokens === 'number' ? row.max_thinking_tokens : null,
    ignore: Number(row.ignore_end_count ?? 0),
    thinking: String(row.thinking ?? ''),
    answer: String(row.answer ?? ''),
    thinkingTokens: Number(row.thinking_tokens ?? 0),
    thinkingEnd: String(row.thinking_end),
    verdict: String(row.verdict),
    extracted: row.extracted === null || row.extracted === undefined ? null : String(row.extracted),
    interventions: interventions.map((one) => ({
      kind: String(one.kind),
      text: String(one.text ?? ''),
      characterOffset: Number(one.character_offset ?? 0),
    })),
  };
}
