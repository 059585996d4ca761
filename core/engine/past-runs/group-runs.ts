import { UserError } from '../../errors.js';
import type { Json } from '../../recipe/plan.js';
import type { ComparedRun } from './compare-runs.js';

type Metric = ComparedRun['metrics'][string];

/** What a figure came to in several runs. */
export interface Spread {
  readonly mean: number;
  /** Standard deviation of a sample; null where it is one run's. */
  readonly deviation: number | null;
  readonly runs: number;
}

/** Runs that differ in nothing but what they were grouped over. */
export interface RunGroup {
  readonly runIds: readonly string[];
  /** As a run's, without what they were grouped over. */
  readonly differs: ComparedRun['differs'];
  /** By stage. */
  readonly trainings: Readonly<Record<string, { readonly loss?: Spread; readonly evaluationLoss?: Spread }>>;
  /** By name. */
  readonly metrics: Readonly<Record<string, Spread & Pick<Metric, 'name' | 'unit' | 'labels'>>>;
}

/**
 * Puts runs together that completed and differ in one thing alone, in the order of the first of each.
 * @param over its path as `differs` has it, with or without "params.": "seed", "stages.tuned.seed"
 * @throws UserError `nothing_differs` where the runs do not differ in it
 */
export function groupRuns(runs: readonly ComparedRun[], over: string): readonly RunGroup[] {
  const paths = [...new Set(runs.flatMap(({ differs }) => Object.keys(differs)))];
  const path = paths.find((each) => each === over) ?? paths.find((each) => each === `params.${over}`);
  if (path === undefined) {
    throw new UserError('nothing_differs', `The runs do not differ in "${over}".`, {
      hint: paths.length === 0 ? 'They are all the same.' : `They differ in ${paths.join(', ')}.`,
    });
  }
  const groups = new Map<string, { differs: Record<string, Json>; byValue: Map<string, ComparedRun> }>();
  for (const run of runs.filter(({ status }) => status === 'completed')) {
    const { [path]: value, ...differs } = run.differs;
    const key = JSON.stringify(differs);
    const group = groups.get(key) ?? { differs, byValue: new Map() };
    // Run again with one value, it is no second sample: the last one counts.
    group.byValue.set(JSON.stringify(value ?? null), run);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ differs, byValue }) => {
    const grouped = [...byValue.values()];
    const runIds = grouped.map(({ runId }) => runId);
    return { runIds, differs, trainings: trainingsOf(grouped), metrics: metricsOf(grouped) };
  });
}

function trainingsOf(runs: readonly ComparedRun[]): RunGroup['trainings'] {
  const stages = [...new Set(runs.flatMap(({ trainings }) => Object.keys(trainings)))];
  return Object.fromEntries(
    stages.map((stage) => {
      const loss = spreadOf(runs.map(({ trainings }) => trainings[stage]?.loss));
      const evaluationLoss = spreadOf(runs.map(({ trainings }) => trainings[stage]?.evaluationLoss));
      return [stage, { ...(loss && { loss }), ...(evaluationLoss && { evaluationLoss }) }];
    }),
  );
}

function metricsOf(runs: readonly ComparedRun[]): RunGroup['metrics'] {
  const first = new Map(runs.toReversed().flatMap(({ metrics }) => Object.entries(metrics)));
  const names = [...new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)))];
  return Object.fromEntries(
    names.flatMap((key) => {
      const spread = spreadOf(runs.map(({ metrics }) => metrics[key]?.value));
      const metric = first.get(key);
      if (spread === undefined || metric === undefined) return [];
      const { name, unit, labels } = metric;
      return [[key, { ...spread, name, ...(unit === undefined ? {} : { unit }), ...(labels && { labels }) }]];
    }),
  );
}

/** Undefined where no run has it. */
function spreadOf(values: readonly (number | null | undefined)[]): Spread | undefined {
  const known = values.filter((value) => typeof value === 'number');
  if (known.length === 0) return undefined;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: known.length === 1 ? null : Math.sqrt(squares / (known.length - 1)), runs: known.length };
}
