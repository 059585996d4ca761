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
  const runs = await compareRuns(await runsNamed(names, workspace), workspace);
  if (flags.json) await writeJson(runs);
  else {
    const { metrics } = flags;
    const isShown = metrics === undefined ? isAccuracy : (name: string) => fitsPattern(name, metrics);
    const shape = { colors: colorsFor(process.stdout), width: process.stdout.columns || 80 };
    await writeLine(comparisonLines(runs, isShown, shape).join('\n'));
  }
  return exitCodes.ok;
}

/** By the name of their recipe, by the beginning of their ids, or "latest"; the oldest first. @throws UserError `run_not_found` */
async function runsNamed(names: readonly string[], workspace: Workspace): Promise<readonly RunSummary[]> {
  const all = (await workspace.runs()).filter(({ events }) => events > 0);
  const found = new Map<string, RunSummary>();
  for (const name of names) {
    const ofRecipe = all.filter(({ recipe }) => recipe === name);
    const begun = ofRecipe.length > 0 ? ofRecipe : all.filter(({ runId }) => runId.startsWith(name));
    for (const run of begun.length > 0 ? begun : [await workspace.find(name)]) found.set(run.runId, run);
  }
  if (found.size < 2)
    throw new UserError('nothing_to_compare', `${names.join(' ')} is one run: ${[...found.keys()].join()}.`, {
      hint: 'Name several runs, or the recipe of several. `simmer runs` lists them.',
    });
  return [...found.values()].sort((one, other) => (one.startedAt < other.startedAt ? -1 : 1));
}

/** Between the columns of a table. */
const gap = 2;

/** Which runs, then what they came to: a column for each, as many beside each other as the terminal is wide. */
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
  const figures = figuresOf(runs, isShown);
  const labelWidth = Math.max(0, ...figures.map(({ label }) => label.length));
  const cellWidth = Math.max(1, ...figures.flatMap(({ cells }) => cells.map((cell) => cell.length)));
  const together = Math.max(1, Math.floor((width - labelWidth) / (cellWidth + gap)));
  const lines = [...tableLines(legend, { right: [0, 3, 4], width })];
  for (let first = 0; first < runs.length && figures.length > 0; first += together) {
    const end = Math.min(first + together, runs.length);
    const head = ['', ...Array.from({ length: end - first }, (_, index) => colors.dim(String(first + index + 1)))];
    lines.push('', ...tableLines([head, ...figures.map(({ label, cells }) => [label, ...cells.slice(first, end)])]));
  }
  return lines;
}

interface Figure {
  readonly label: string;
  /** Of each run. */
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
