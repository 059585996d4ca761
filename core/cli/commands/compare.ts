import type { Colors } from 'picocolors/types.js';
import { suggestion } from '../../document/nearest-name.js';
import { type ComparedRun, compareRuns } from '../../engine/past-runs/compare-runs.js';
import { groupRuns, type RunGroup } from '../../engine/past-runs/group-runs.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatCounted } from '../../figures.js';
import { fitsPattern } from '../../files/name-pattern.js';
import { openWorkspace } from '../open-workspace.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import type { Workspace, WorkspaceFlags } from '../workspace.js';
import { comparisonLines, groupLines, type IsShown } from './comparison-lines.js';

interface CompareFlags extends WorkspaceFlags {
  /** Names of metrics, `*` for any text. Default: accuracies. */
  readonly metrics?: string;
  /** In what runs differ that are put together, e.g. "seed". */
  readonly over?: string;
}

/** How many a model got right under a policy, and not a difference of two such. */
const isAccuracy: IsShown = (_, { name, labels = {} }) => name === `${labels.model}.accuracy@${labels.policy}`;

/** `simmer compare`: runs side by side. */
export async function compare(names: readonly string[], flags: CompareFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const { named, ofRecipes } = await runsNamed(names, workspace);
  const runs = await compareRuns(named, workspace, ofRecipes);
  const groups = flags.over === undefined ? undefined : groupRuns(runs, flags.over);
  if (flags.json) await writeJson(groups ?? runs);
  else {
    const { metrics } = flags;
    if (metrics !== undefined) requireMeasured(metrics, runs);
    const isShown = metrics === undefined ? isAccuracy : (name: string) => fitsPattern(name, metrics);
    const shape = { colors: colorsFor(process.stdout), width: process.stdout.columns || 80 };
    const lines = groups === undefined ? comparisonLines(runs, isShown, shape) : groupLines(groups, isShown, shape);
    await writeLine([...lines, ...leftOutLines(named, runs, groups, shape.colors)].join('\n'));
  }
  return exitCodes.ok;
}

/** @throws UserError `metric_not_found` where no run has a metric of such a name */
export function requireMeasured(pattern: string, runs: readonly Pick<ComparedRun, 'metrics'>[]): void {
  const names = new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)));
  if ([...names].some((name) => fitsPattern(name, pattern))) return;
  const hint = suggestion(pattern, names) ?? 'They measured nothing.';
  throw new UserError('metric_not_found', `None of these runs measured "${pattern}".`, { hint });
}

function leftOutLines(
  named: readonly RunSummary[],
  runs: readonly ComparedRun[],
  groups: readonly RunGroup[] | undefined,
  colors: Colors,
): readonly string[] {
  const completed = runs.filter(({ status }) => status === 'completed').length;
  const grouped = groups?.reduce((sum, { runIds }) => sum + runIds.length, 0);
  const notes = [
    [named.length - runs.length, 'trained and measured nothing'],
    ...(grouped === undefined
      ? []
      : [[runs.length - completed, 'did not complete'] as const, [completed - grouped, 'ran again later'] as const]),
  ] as const;
  const told = notes.flatMap(([count, why]) =>
    count === 0 ? [] : [`${formatCounted(count, 'run')} left out: ${count === 1 ? 'it' : 'they'} ${why}`],
  );
  return told.length === 0 ? [] : ['', ...told.map(colors.dim)];
}

interface NamedRuns {
  /** The oldest first. */
  readonly named: readonly RunSummary[];
  /** Ids of those that are meant only by the name of their recipe. */
  readonly ofRecipes: ReadonlySet<string>;
}

function inspectionsAlone(name: string, runs: readonly RunSummary[]): UserError {
  const ids = runs.map(({ runId }) => runId).join(', ');
  return new UserError('nothing_to_compare', `${name} has inspections alone: ${ids}.`, {
    hint: 'Run the recipe, or name inspections by their ids.',
  });
}

/** By the name of their recipe, by the beginning of their ids, or "latest". @throws UserError `run_not_found`, `nothing_to_compare` */
export async function runsNamed(
  names: readonly string[],
  workspace: Pick<Workspace, 'runs' | 'find'>,
): Promise<NamedRuns> {
  const all = (await workspace.runs()).filter(({ events }) => events > 0);
  const ofRecipes = new Set<string>();
  const meant = new Set<string>();
  const found = new Map<string, RunSummary>();
  for (const name of names) {
    const bearers = all.filter(({ recipe }) => recipe === name);
    // An inspection is no try of its recipe, though it repeats what earlier stages measured.
    const ofRecipe = bearers.filter(({ inspects }) => inspects === undefined);
    if (bearers.length > 0 && ofRecipe.length === 0) throw inspectionsAlone(name, bearers);
    // Every id begins with nothing.
    const begun = ofRecipe.length > 0 || name === '' ? ofRecipe : all.filter(({ runId }) => runId.startsWith(name));
    for (const run of begun.length > 0 ? begun : [await workspace.find(name)]) {
      (ofRecipe.length > 0 ? ofRecipes : meant).add(run.runId);
      found.set(run.runId, run);
    }
  }
  if (found.size < 2)
    throw new UserError('nothing_to_compare', `${names.join(' ')} is one run: ${[...found.keys()].join()}.`, {
      hint: 'Name several runs, or the recipe of several. `simmer runs` lists them.',
    });
  const named = [...found.values()].sort((one, other) => (one.startedAt < other.startedAt ? -1 : 1));
  return { named, ofRecipes: new Set([...ofRecipes].filter((runId) => !meant.has(runId))) };
}
