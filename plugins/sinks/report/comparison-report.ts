import { z } from 'simmerkit';

const interval = z.tuple([z.number(), z.number()]);
/** Reports of before there could be several tuned models have one label, or null. */
const labels = z.union([
  z.array(z.string()),
  z
    .string()
    .nullable()
    .transform((label) => (label === null ? [] : [label])),
]);
const runName = z.object({ model: z.string(), policy: z.string() });

/** What this page reads of the report that `eval/compare` writes; the README of eval documents it. */
export const comparisonReport = z.object({
  kind: z.literal('comparison'),
  draws: z.number(),
  models: z.object({ untuned: labels, tuned: labels }),
  runs: z.array(
    z.object({
      role: z.enum(['untuned', 'tuned']),
      model: z.string(),
      policy: z.string(),
      // Reports of before there were other methods do not say.
      method: z.string().default('budget-forcing'),
      maxThinkingTokens: z.number().nullable(),
      ignore: z.number(),
      word: z.string(),
      problems: z.number(),
      samples: z.number(),
      accuracy: z.number(),
      interval,
      meanThinkingTokens: z.number(),
      meanAnswerTokens: z.number(),
      unparsedShare: z.number(),
      forcedEndShare: z.number(),
      extendedShare: z.number(),
      finishedShare: z.number(),
      answerCutShare: z.number(),
    }),
  ),
  differences: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(['model', 'maximum', 'waits']),
      from: runName,
      to: runName,
      difference: z.number(),
      interval,
      problems: z.number(),
      wrongToRight: z.number(),
      rightToWrong: z.number(),
    }),
  ),
  scaling: z.array(
    z.object({
      model: z.string(),
      series: z.string(),
      runs: z.number(),
      control: z.number().nullable(),
      scalingPerToken: z.number().nullable(),
      scalingPerDoubling: z.number().nullable(),
      performance: z.number(),
    }),
  ),
});

export type ComparisonReport = z.output<typeof comparisonReport>;
export type ComparedRun = ComparisonReport['runs'][number];
export type Difference = ComparisonReport['differences'][number];

/** A comparison of the run, with the stage that made it. */
export interface StageComparison {
  readonly stage: string;
  readonly report: ComparisonReport;
}

/** The models of a comparison, the untuned one first. */
export function comparedModels({ models }: ComparisonReport): readonly string[] {
  return [...models.untuned, ...models.tuned];
}

/** The run of a model with the largest maximum and no waits. */
export function longestRun(report: ComparisonReport, model: string | undefined): ComparedRun | undefined {
  return byMaximum(report, model).at(-1);
}

/**
 * The runs of a model that no method but budget forcing held, without waits, smallest maximum first: without any thinking
 * comes before all, and without a maximum after them.
 */
export function byMaximum(report: ComparisonReport, model: string | undefined): readonly ComparedRun[] {
  const limit = ({ method, maxThinkingTokens }: ComparedRun) =>
    method === 'none' ? 0 : (maxThinkingTokens ?? Number.POSITIVE_INFINITY);
  return report.runs
    .filter((run) => run.model === model && run.ignore === 0 && isForced(run))
    .sort((left, right) => limit(left) - limit(right));
}

/** A run of budget forcing, or of a model that just answers. */
export function isForced({ method }: Pick<ComparedRun, 'method'>): boolean {
  return method === 'budget-forcing' || method === 'none';
}
