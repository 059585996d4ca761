import { measureScaling, UserError } from 'simmerkit';
import { type GradedRun, type GradedRuns, requireSameProblems } from './graded-run.js';
import { labelProblem } from './model-labels.js';
import { bootstrapMean } from './statistics.js';

export type Role = 'untuned' | 'tuned';
/**
 * Of budget forcing: `maxima`, without waits, and `waits`, at the largest maximum; with several words `waits@WORD`. Of
 * another method: its name, and of votes under several policies `METHOD@POLICY`.
 */
type Series = 'maxima' | 'waits' | (string & {});

/** `report.json` of eval/compare; the README of this plugin says what each field is. */
export interface ComparisonReport {
  readonly format: 2;
  readonly kind: 'comparison';
  readonly draws: number;
  readonly models: Readonly<Record<Role, readonly string[]>>;
  readonly runs: readonly RunReport[];
  readonly differences: readonly Difference[];
  readonly scaling: readonly ScalingReport[];
}

interface RunReport {
  readonly role: Role;
  readonly model: string;
  readonly policy: string;
  readonly method: string;
  readonly maxThinkingTokens: number | null;
  readonly ignore: number;
  readonly word: string;
  readonly problems: number;
  readonly samples: number;
  readonly accuracy: number;
  readonly interval: readonly [number, number];
  readonly meanThinkingTokens: number;
  readonly meanAnswerTokens: number;
  readonly unparsedShare: number;
  readonly forcedEndShare: number;
  readonly extendedShare: number;
  readonly finishedShare: number;
  readonly answerCutShare: number;
}

interface Difference {
  readonly name: string;
  readonly kind: 'model' | 'maximum' | 'waits';
  readonly from: { readonly model: string; readonly policy: string };
  readonly to: { readonly model: string; readonly policy: string };
  readonly difference: number;
  readonly interval: readonly [number, number];
  readonly problems: number;
  readonly wrongToRight: number;
  readonly rightToWrong: number;
}

interface ScalingReport {
  readonly model: string;
  readonly series: Series;
  readonly runs: number;
  readonly control: number | null;
  readonly scalingPerToken: number | null;
  readonly scalingPerDoubling: number | null;
  readonly performance: number;
}

interface ComparisonOptions {
  readonly draws: number;
  readonly seed: number;
  /** Awaited after each interval, so that the event loop stays free. */
  breathe(): Promise<void>;
}

/**
 * Compares each tuned model with the untuned one, and maxima and waits of every model, each pair of runs problem by
 * problem.
 * @throws UserError `nothing_to_compare`, `label_not_unique`, `problems_differ`
 */
export async function compareRuns(
  graded: Readonly<Record<Role, GradedRuns>>,
  options: ComparisonOptions,
): Promise<ComparisonReport> {
  const byRole = { untuned: byModel(graded.untuned), tuned: byModel(graded.tuned) };
  const models = { untuned: labelsOf(byRole.untuned), tuned: labelsOf(byRole.tuned) };
  requireComparable(models);
  const runs: RunReport[] = [];
  for (const role of ['untuned', 'tuned'] as const) {
    for (const run of byRole[role].flat()) {
      runs.push(reportRun(role, run, options));
      await options.breathe();
    }
  }
  const differences: Difference[] = [];
  for (const pair of pairsToCompare(byRole.untuned, byRole.tuned)) {
    differences.push(compareTwo(pair, options));
    await options.breathe();
  }
  const scaling = [...byRole.untuned, ...byRole.tuned].flatMap((ofModel) =>
    [...seriesOf(ofModel)].flatMap(([series, runs]) => reportScaling(series, runs)),
  );
  return { format: 2, kind: 'comparison', draws: options.draws, models, runs, differences, scaling };
}

/** Names of the differences whose two runs were asked in other words. */
export function differencesOfPrompts(graded: Readonly<Record<Role, GradedRuns>>): readonly string[] {
  return pairsToCompare(byModel(graded.untuned), byModel(graded.tuned))
    .filter(({ from, to }) => !from.isAskedAs(to))
    .map(({ name }) => name);
}

const isForced = (run: GradedRun) => run.policy.method === 'budget-forcing';
const maximumOf = (run: GradedRun) => run.policy.maxThinkingTokens ?? Number.POSITIVE_INFINITY;

/** The runs of each model, in the order that the models were first met. */
function byModel(runs: GradedRuns): GradedRun[][] {
  const met = new Set(runs.all().map(({ model }) => model));
  return [...met].map((model) => inOrder(runs.all().filter((run) => run.model === model)));
}

function inOrder(runs: readonly GradedRun[]): GradedRun[] {
  const byText = (one: string, other: string) => (one < other ? -1 : Number(one > other));
  return [...runs].sort(
    (one, other) =>
      Math.sign(maximumOf(one) - maximumOf(other)) ||
      one.policy.ignore - other.policy.ignore ||
      byText(one.policy.id, other.policy.id),
  );
}

function labelsOf(models: readonly (readonly GradedRun[])[]): string[] {
  return models.flatMap(([first]) => (first === undefined ? [] : [first.model]));
}

function requireComparable({ untuned, tuned }: ComparisonReport['models']): void {
  if (untuned.length === 0 && tuned.length === 0) {
    throw new UserError('nothing_to_compare', 'Neither `untuned` nor `tuned` has a graded answer.', {
      kind: 'runFailed',
      hint: 'Give eval/compare the `graded` output of at least one eval/grade stage.',
    });
  }
  const problem = labelProblem({ untuned, tuned });
  if (problem !== undefined)
    throw new UserError(problem.code, problem.message, { hint: problem.hint, kind: 'runFailed' });
}

function reportRun(role: Role, run: GradedRun, options: ComparisonOptions): RunReport {
  const estimate = bootstrapMean(run.accuracies(), { ...options, purpose: `${run.model}.accuracy@${run.policy.id}` });
  return {
    role,
    model: run.model,
    policy: run.policy.id,
    method: run.policy.method,
    maxThinkingTokens: run.policy.maxThinkingTokens,
    ignore: run.policy.ignore,
    word: run.policy.word,
    problems: run.problems.size,
    samples: run.samples,
    accuracy: estimate.mean,
    interval: estimate.interval,
    meanThinkingTokens: run.mean('thinking'),
    meanAnswerTokens: run.mean('answer'),
    unparsedShare: run.share('unparsed'),
    forcedEndShare: run.share('forced'),
    extendedShare: run.share('extended'),
    finishedShare: run.share('finished'),
    answerCutShare: run.share('cut'),
  };
}

interface Pair {
  readonly name: string;
  readonly kind: Difference['kind'];
  readonly from: GradedRun;
  readonly to: GradedRun;
}

function pairsToCompare(untuned: readonly GradedRun[][], tuned: readonly GradedRun[][]): Pair[] {
  const models = tuned.flat().flatMap((to): Pair[] => {
    const from = untuned.flat().find((run) => run.policy.id === to.policy.id);
    return from === undefined
      ? []
      : [{ name: `${to.model}-${from.model}.accuracy@${to.policy.id}`, kind: 'model', from, to }];
  });
  return [...models, ...[...untuned, ...tuned].flatMap((runs) => [...maximumPairs(runs), ...waitPairs(runs)])];
}

function withinModel(kind: Pair['kind'], from: GradedRun, to: GradedRun): Pair {
  return { name: `${to.model}.accuracy@${to.policy.id}-accuracy@${from.policy.id}`, kind, from, to };
}

function maximumPairs(runs: readonly GradedRun[]): Pair[] {
  const plain = runs.filter((run) => isForced(run) && run.policy.ignore === 0);
  const [smallest, largest] = [plain[0], plain.at(-1)];
  if (smallest === undefined || largest === undefined || maximumOf(smallest) === maximumOf(largest)) return [];
  return [withinModel('maximum', smallest, largest)];
}

function waitPairs(runs: readonly GradedRun[]): Pair[] {
  return runs
    .filter((run) => isForced(run) && run.policy.ignore > 0)
    .flatMap((to) => {
      const from = runs.find((run) => isForced(run) && run.policy.ignore === 0 && maximumOf(run) === maximumOf(to));
      return from === undefined ? [] : [withinModel('waits', from, to)];
    });
}

function compareTwo({ name, kind, from, to }: Pair, options: ComparisonOptions): Difference {
  requireSameProblems(from, to);
  const [before, after] = [from.accuracies(), to.accuracies()];
  const estimate = bootstrapMean(
    after.map((accuracy, index) => accuracy - (before[index] as number)),
    { ...options, purpose: name, range: [-1, 1] },
  );
  const changes = from
    .problemIds()
    .map((id) => [from.problems.get(id)?.firstIsRight, to.problems.get(id)?.firstIsRight]);
  return {
    name,
    kind,
    from: { model: from.model, policy: from.policy.id },
    to: { model: to.model, policy: to.policy.id },
    difference: estimate.mean,
    interval: estimate.interval,
    problems: before.length,
    wrongToRight: changes.filter(([was, is]) => !was && is).length,
    rightToWrong: changes.filter(([was, is]) => was && !is).length,
  };
}

/** Runs of one model that may be measured together: a Scaling over two methods, or two words, would measure neither. */
function seriesOf(runs: readonly GradedRun[]): ReadonlyMap<Series, readonly GradedRun[]> {
  const forced = runs.filter(isForced);
  const largest = Math.max(...forced.map(maximumOf));
  const longest = forced.filter((run) => maximumOf(run) === largest);
  const words = [...new Set(longest.filter(({ policy }) => policy.ignore > 0).map(({ policy }) => policy.word))];
  const series = new Map<Series, readonly GradedRun[]>([
    ['maxima', forced.filter((run) => run.policy.ignore === 0)],
    ...(words.length < 2
      ? [['waits', longest] as const]
      : words.map((word) => {
          const ofWord = longest.filter(({ policy }) => policy.ignore === 0 || policy.word === word);
          return [`waits@${word.trim() || 'none'}`, ofWord] as const;
        })),
  ]);
  const others = runs.filter((run) => !isForced(run));
  for (const run of others) {
    const { method } = run.policy;
    const alike = others.filter((other) => other.policy.method === method);
    const isOfSeveral = new Set(alike.map(votedPolicy)).size > 1;
    const name = isOfSeveral && isVote(run) ? `${method}@${votedPolicy(run)}` : method;
    series.set(name, [...(series.get(name) ?? []), run]);
  }
  return series;
}

const isVote = ({ policy }: GradedRun) => policy.method === 'majority' || policy.method.startsWith('best-of-');

/** Under which policy the samples of a vote were made: "64" of "64+maj8". */
const votedPolicy = ({ policy }: GradedRun) => policy.id.slice(0, policy.id.lastIndexOf('+'));

function reportScaling(series: Series, chosen: readonly GradedRun[]): ScalingReport[] {
  const [first] = chosen;
  if (first === undefined || chosen.length < 2) return [];
  const measures = measureScaling(
    chosen.map((run) => ({
      meanTokens: run.mean('thinking'),
      accuracy: run.accuracies().reduce((sum, accuracy) => sum + accuracy, 0) / run.problems.size,
      ...(run.policy.maxThinkingTokens === null ? {} : { maximum: run.policy.maxThinkingTokens }),
    })),
  );
  return [{ model: first.model, series, runs: chosen.length, ...measures }];
}
