import type { Colors } from 'picocolors/types.js';
import { type ComparedRun, compareRuns } from '../../engine/compare-runs.js';
import { groupRuns, type RunGroup, type Spread } from '../../engine/group-runs.js';
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
  /** In what runs differ that are put together, e.g. "seed". */
  readonly over?: string;
}

type Metric = ComparedRun['metrics'][string];

type IsShown = (name: string, metric: Pick<Metric, 'name' | 'labels'>) => boolean;

/** `simmer compare`: runs side by side. */
export async function compare(names: readonly string[], flags: CompareFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const { named, ofRecipes } = await runsNamed(names, workspace);
  const runs = await compareRuns(named, workspace, ofRecipes);
  const groups = flags.over === undefined ? undefined : groupRuns(runs, flags.over);
  if (flags.json) await writeJson(groups ?? runs);
  else {
    const { metrics } = flags;
    const isShown = metrics === undefined ? isAccuracy : (name: string) => fitsPattern(name, metrics);
    const shape = { colors: colorsFor(process.stdout), width: process.stdout.columns || 80 };
    const lines = groups === undefined ? comparisonLines(runs, isShown, shape) : groupLines(groups, isShown, shape);
    await writeLine([...lines, ...leftOutLines(named, runs, groups, shape.colors)].join('\n'));
  }
  return exitCodes.ok;
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
    count === 0 ? [] : [`${count} run${count === 1 ? '' : 's'} left out: ${count === 1 ? 'it' : 'they'} ${why}`],
  );
  return told.length === 0 ? [] : ['', ...told.map(colors.dim)];
}

interface NamedRuns {
  /** The oldest first. */
  readonly named: readonly RunSummary[];
  /** Ids of those that are meant only by the name of their recipe. */
  readonly ofRecipes: ReadonlySet<string>;
}

/** By the name of their recipe, by the beginning of their ids, or "latest". @throws UserError `run_not_found` */
export async function runsNamed(
  names: readonly string[],
  workspace: Pick<Workspace, 'runs' | 'find'>,
): Promise<NamedRuns> {
  const all = (await workspace.runs()).filter(({ events }) => events > 0);
  const ofRecipes = new Set<string>();
  const meant = new Set<string>();
  const found = new Map<string, RunSummary>();
  for (const name of names) {
    const ofRecipe = all.filter(({ recipe }) => recipe === name);
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

interface Shape {
  readonly colors: Colors;
  readonly width: number;
}

/** Between the columns of a table. */
const gap = 2;

/**
 * Which runs, then what they came to: a column for each, as many beside each other as the terminal is wide; of runs that
 * would take more than two such tables, as those of a sweep, a line for each.
 */
export function comparisonLines(runs: readonly ComparedRun[], isShown: IsShown, shape: Shape): readonly string[] {
  const legend = runs.map((run, index) => [
    String(index + 1),
    run.runId,
    run.status,
    formatDuration(run.seconds),
    run.usd > 0 ? formatUsd(run.usd) : '',
    differencesText(run.differs),
  ]);
  const cells = runs.map((run) => cellsOf(run, isShown, { loss: numberText, metric: metricText }));
  return [...tableLines(legend, { right: [0, 3, 4], width: shape.width }), ...figureLines(cells, shape)];
}

/** Groups of runs in place of runs; figures are means, with the standard deviation where there are several. */
export function groupLines(groups: readonly RunGroup[], isShown: IsShown, shape: Shape): readonly string[] {
  const legend = groups.map(({ runIds, differs }, index) => [
    String(index + 1),
    `${runIds.length} run${runIds.length === 1 ? '' : 's'}`,
    differencesText(differs),
  ]);
  const cells = groups.map((group) => {
    const text = (spread: Spread, valueText: (value: number) => string) => {
      // A loss may be no number, and a metric may not be there.
      const isOfAll = spread.runs === group.runIds.length;
      return `${spreadText(spread, valueText)}${isOfAll ? '' : ` (${spread.runs} of ${group.runIds.length})`}`;
    };
    return cellsOf(group, isShown, {
      loss: (spread: Spread | undefined) => (spread === undefined ? nothing : text(spread, numberText)),
      metric: (spread: RunGroup['metrics'][string]) => text(spread, textOf(spread.unit)),
    });
  });
  return [...tableLines(legend, { right: [0], width: shape.width }), ...figureLines(cells, shape)];
}

function differencesText(differs: ComparedRun['differs']): string {
  return Object.entries(differs)
    .map(
      ([path, value]) =>
        `${path.replace(/^params\./, '')}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    .join(' ');
}

function figureLines(cells: readonly Cells[], { colors, width }: Shape): readonly string[] {
  const figures = figuresOf(cells);
  if (figures.length === 0) return [];
  const lines: string[] = [];
  const numbers = cells.map((_, index) => String(index + 1));
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

/** What a run, or a group of them, came to: text by label. */
interface Cells {
  readonly losses: ReadonlyMap<string, string>;
  readonly metrics: ReadonlyMap<string, string>;
}

function cellsOf<L, M extends Pick<Metric, 'name' | 'labels'>>(
  {
    trainings,
    metrics,
  }: {
    readonly trainings: Readonly<Record<string, { readonly loss?: L; readonly evaluationLoss?: L }>>;
    readonly metrics: Readonly<Record<string, M>>;
  },
  isShown: IsShown,
  text: { loss(value: L | undefined): string; metric(metric: M): string },
): Cells {
  return {
    losses: new Map(
      Object.entries(trainings).flatMap(([stage, { loss, evaluationLoss }]) => [
        [`${stage} loss`, text.loss(loss)],
        [`${stage} evaluation loss`, text.loss(evaluationLoss)],
      ]),
    ),
    metrics: new Map(
      Object.entries(metrics).flatMap(([name, metric]) => (isShown(name, metric) ? [[name, text.metric(metric)]] : [])),
    ),
  };
}

function figuresOf(cells: readonly Cells[]): readonly Figure[] {
  return (['losses', 'metrics'] as const).flatMap((kind) => {
    const labels = new Set(cells.flatMap((each) => [...each[kind].keys()]));
    const figures = [...labels].map((label) => ({
      label,
      cells: cells.map((each) => each[kind].get(label) ?? nothing),
    }));
    return figures.filter((figure) => figure.cells.some((cell) => cell !== nothing));
  });
}

const nothing = '–';

function metricText(metric: Metric): string {
  const text = textOf(metric.unit);
  return `${text(metric.value)}${metric.interval === undefined ? '' : ` [${metric.interval.map(text).join(', ')}]`}`;
}

function textOf(unit: string | undefined): (value: number) => string {
  return unit === 'share' ? formatShare : numberText;
}

function spreadText({ mean, deviation }: Spread, text: (value: number) => string): string {
  return deviation === null ? text(mean) : `${text(mean)} ± ${text(Number(deviation.toPrecision(2)))}`;
}

function numberText(value: number | null | undefined): string {
  return value === undefined || value === null ? nothing : String(Number(value.toPrecision(4)));
}

/** How many a model got right under a policy, and not a difference of two such. */
function isAccuracy(_: string, { name, labels = {} }: Pick<Metric, 'name' | 'labels'>): boolean {
  return name === `${labels.model}.accuracy@${labels.policy}`;
}
