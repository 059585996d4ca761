import type { Colors } from 'picocolors/types.js';
import { type ComparedRun, compareRuns } from '../../engine/compare-runs.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatDuration, formatShare, formatUsd } from '../../figures.js';
import { fitsPattern } from '../../files/name-pattern.js';
import { openWorkspace, type Workspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

interface CompareFlags extends WorkspaceFlags {
  /** Names of metrics, `*` for any text. Default: accuracies. */
  readonly metrics?: string;
}

type Metric = ComparedRun['metrics'][string];

type IsShown = (name: string, metric: Metric) => boolean;

/** `simmer compare`: runs side by side. */
export async function compare(names: readonly string[], flags: CompareFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const { named, ofRecipes } = await runsNamed(names, workspace);
  const runs = await compareRuns(named, workspace, ofRecipes);
  if (flags.json) await writeJson(runs);
  else {
    const { metrics } = flags;
    const isShown = metrics === undefined ? isAccuracy : (name: string) => fitsPattern(name, metrics);
    const shape = { colors: colorsFor(process.stdout), width: process.stdout.columns || 80 };
    const left = named.length - runs.length;
    const note = `${left} run${left === 1 ? '' : 's'} that trained and measured nothing left out`;
    const lines = [...comparisonLines(runs, isShown, shape), ...(left === 0 ? [] : ['', shape.colors.dim(note)])];
    await writeLine(lines.join('\n'));
  }
  return exitCodes.ok;
}

interface NamedRuns {
  /** The oldest first. */
  readonly named: readonly RunSummary[];
  /** Ids of those that are meant only by the name of their recipe. */
  readonly ofRecipes: ReadonlySet<string>;
}

/** By the name of their recipe, by the beginning of their ids, or "latest". @throws UserError `run_not_found` */
async function runsNamed(names: readonly string[], workspace: Workspace): Promise<NamedRuns> {
  const all = (await workspace.runs()).filter(({ events }) => events > 0);
  const ofRecipes = new Set<string>();
  const found = new Map<string, RunSummary>();
  for (const name of names) {
    const ofRecipe = all.filter(({ recipe }) => recipe === name);
    for (const { runId } of ofRecipe) ofRecipes.add(runId);
    const begun = ofRecipe.length > 0 ? ofRecipe : all.filter(({ runId }) => runId.startsWith(name));
    for (const run of begun.length > 0 ? begun : [await workspace.find(name)]) found.set(run.runId, run);
  }
  if (found.size < 2)
    throw new UserError('nothing_to_compare', `${names.join(' ')} is one run: ${[...found.keys()].join()}.`, {
      hint: 'Name several runs, or the recipe of several. `simmer runs` lists them.',
    });
  const named = [...found.values()].sort((one, other) => (one.startedAt < other.startedAt ? -1 : 1));
  return { named, ofRecipes };
}

/** Between the columns of a table. */
const gap = 2;

/**
 * Which runs, then what they came to: a column for each, as many beside each other as the terminal is wide; of runs that
 * would take more than two such tables, as those of a sweep, a line for each.
 */
export function comparisonLines(
  runs: readonly ComparedRun[],
  isShown: IsShown,
  { colors, width }: { readonly colors: Colors; readonly width: number },
): readonly string[] {
  const legend = runs.map((run, index) => [
    String(index + 1),
    run.runId,
    run.status,
    formatDuration(run.seconds),
    run.usd > 0 ? formatUsd(run.usd) : '',
    Object.entries(run.differs)
      .map(
        ([path, value]) =>
          `${path.replace(/^params\./, '')}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      .join(' '),
  ]);
  const lines = [...tableLines(legend, { right: [0, 3, 4], width })];
  const figures = figuresOf(runs, isShown);
  if (figures.length === 0) return lines;
  const numbers = runs.map((_, index) => String(index + 1));
  const byRun = blocksOf(figures, numbers, width);
  const blocks =
    byRun.length <= 2
      ? byRun
      : blocksOf(
          turned(figures, numbers),
          figures.map(({ label }) => label),
          width,
        );
  for (const { head, rows } of blocks) {
    const heading = ['', ...head].map((title) => colors.dim(title));
    lines.push('', ...tableLines([heading, ...rows.map(({ label, cells }) => [label, ...cells])]));
  }
  return lines;
}

/** Tables below each other, with as many columns each as fit. */
function blocksOf(
  rows: readonly Figure[],
  head: readonly string[],
  width: number,
): readonly { readonly head: readonly string[]; readonly rows: readonly Figure[] }[] {
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const widths = head.map((title, index) =>
    Math.max(title.length, ...rows.map(({ cells }) => cells[index]?.length ?? 0)),
  );
  const starts: number[] = [];
  let used = width;
  for (const [index, columnWidth] of widths.entries()) {
    used += gap + columnWidth;
    if (used <= width) continue;
    starts.push(index);
    used = labelWidth + gap + columnWidth;
  }
  return starts.map((start, index) => ({
    head: head.slice(start, starts[index + 1]),
    rows: rows.map(({ label, cells }) => ({ label, cells: cells.slice(start, starts[index + 1]) })),
  }));
}

/** Runs as rows, and figures as columns. */
function turned(figures: readonly Figure[], numbers: readonly string[]): readonly Figure[] {
  return numbers.map((label, run) => ({ label, cells: figures.map(({ cells }) => cells[run] ?? nothing) }));
}

interface Figure {
  readonly label: string;
  /** Of each run; turned, those of one run, of each figure. */
  readonly cells: readonly string[];
}

function figuresOf(runs: readonly ComparedRun[], isShown: IsShown): readonly Figure[] {
  const stages = [...new Set(runs.flatMap(({ trainings }) => Object.keys(trainings)))];
  const ofStage = (
    stage: string,
    name: string,
    value: (training: ComparedRun['trainings'][string]) => number | null | undefined,
  ) => ({
    label: `${stage} ${name}`,
    cells: runs.map(({ trainings }) => {
      const training = trainings[stage];
      return numberText(training === undefined ? undefined : value(training));
    }),
  });
  const losses = stages.flatMap((stage) => [
    ofStage(stage, 'loss', ({ loss }) => loss),
    ofStage(stage, 'evaluation loss', ({ evaluationLoss }) => evaluationLoss),
  ]);
  const shown = ({ metrics }: ComparedRun) =>
    Object.entries(metrics).flatMap(([name, metric]) => (isShown(name, metric) ? [name] : []));
  const metrics = new Set(runs.flatMap(shown));
  const measured = [...metrics].map((name) => ({
    label: name,
    cells: runs.map((run) => metricText(run.metrics[name])),
  }));
  return [...losses, ...measured].filter(({ cells }) => cells.some((cell) => cell !== nothing));
}

const nothing = '–';

function metricText(metric: Metric | undefined): string {
  if (metric === undefined) return nothing;
  const text = metric.unit === 'share' ? formatShare : numberText;
  return `${text(metric.value)}${metric.interval === undefined ? '' : ` [${metric.interval.map(text).join(', ')}]`}`;
}

function numberText(value: number | null | undefined): string {
  return value === undefined || value === null ? nothing : String(Number(value.toPrecision(4)));
}

/** How many a model got right under a policy, and not a difference of two such. */
function isAccuracy(_: string, { name, labels = {} }: Metric): boolean {
  return name === `${labels.model}.accuracy@${labels.policy}`;
}
