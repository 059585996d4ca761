import type { Colors } from 'picocolors/types.js';
import stringWidth from 'string-width';
import type { ComparedRun } from '../../engine/past-runs/compare-runs.js';
import type { RunGroup, Spread } from '../../engine/past-runs/group-runs.js';
import { formatCount, formatCounted, formatDuration, formatShare, formatUsd } from '../../figures.js';
import { tableLines } from '../table.js';
import { visibleText } from '../terminal.js';

type Metric = ComparedRun['metrics'][string];

/** Which metrics are shown. */
export type IsShown = (name: string, metric: Pick<Metric, 'name' | 'labels'>) => boolean;

interface Shape {
  readonly colors: Colors;
  readonly width: number;
}

/** Between the columns of a table. */
const gap = 2;

/**
 * Which runs, then what they came to: a column for each, as many beside each other as the terminal is wide; of runs that
 * would take more than two such tables, as those of a sweep, a line for each, with what is its own.
 */
export function comparisonLines(runs: readonly ComparedRun[], isShown: IsShown, shape: Shape): readonly string[] {
  const legend = runs.map((run, index) => [
    String(index + 1),
    run.runId,
    run.status,
    formatDuration(run.seconds),
    run.usd > 0 ? formatUsd(run.usd) : '',
  ]);
  const metric = (figure: Metric, name: string) =>
    figure.count === undefined || isOfOneSize(runs, name)
      ? metricText(figure)
      : `${metricText(figure)} of ${formatCount(figure.count)}`;
  const cells = runs.map((run) => cellsOf(run, isShown, { loss: numberText, metric }));
  const differs = runs.map((run) => run.differs);
  return [
    ...legendLines(legend, [0, 3, 4], differs, shape),
    ...figureLines(cells, differs.map(differencesText), shape),
  ];
}

/** Whether all runs measured a figure on as many problems: a part of a benchmark is no score of it. */
function isOfOneSize(runs: readonly ComparedRun[], name: string): boolean {
  const counts = runs.flatMap(({ metrics }) => metrics[name]?.count ?? []);
  return new Set(counts).size < 2;
}

/** Groups of runs in place of runs; figures are means, with the standard deviation where there are several. */
export function groupLines(groups: readonly RunGroup[], isShown: IsShown, shape: Shape): readonly string[] {
  const legend = groups.map(({ runIds }, index) => [String(index + 1), formatCounted(runIds.length, 'run')]);
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
  const differs = groups.map((group) => group.differs);
  return [...legendLines(legend, [0], differs, shape), ...figureLines(cells, differs.map(differencesText), shape)];
}

/**
 * Which runs these are, each with what is its own in the same line; where a line does not hold that, it is a table, with a
 * column for each option.
 * @param right columns of the legend whose cells stand to the right
 */
function legendLines(
  legend: readonly (readonly string[])[],
  right: readonly number[],
  differs: readonly ComparedRun['differs'][],
  { colors, width }: Shape,
): readonly string[] {
  const rows = legend.map((row, index) => [...row, differencesText(differs[index] ?? {})]);
  const lines = tableLines(rows, { right });
  if (lines.every((line) => stringWidth(line) <= width)) return lines;
  const paths = [...new Set(differs.flatMap((each) => Object.keys(each)))];
  const cells = differs.map((each) => paths.map((path) => valueText(each[path] ?? nothing)));
  const table = blocksOf(
    cells.map((values, index) => ({ label: String(index + 1), cells: values })),
    paths.map(optionName),
    width,
  ).flatMap((block) => blockLines(block, colors));
  // A prompt, or a long path, is read better when it is wrapped.
  if (table.some((line) => stringWidth(line) > width)) return tableLines(rows, { right, width });
  return [...tableLines(legend, { right }), ...table];
}

function differencesText(differs: ComparedRun['differs']): string {
  return Object.entries(differs)
    .map(([path, value]) => `${optionName(path)}=${valueText(value)}`)
    .join(' ');
}

function optionName(path: string): string {
  return inLine(path.replace(/^params\./, ''));
}

function valueText(value: unknown): string {
  return inLine(typeof value === 'string' ? value : JSON.stringify(value));
}

function inLine(text: string): string {
  return visibleText(text, Number.POSITIVE_INFINITY);
}

/** @param own what each run has that others have not */
function figureLines(cells: readonly Cells[], own: readonly string[], shape: Shape): readonly string[] {
  const all = figuresOf(cells);
  const figures = all.filter((figure) => !isShared(figure));
  const shared = all.filter(isShared).map(({ label, cells }) => [label, cells[0] ?? nothing]);
  return [
    ...(figures.length === 0 ? [] : ownLines(figures, cells, own, shape)),
    ...(shared.length === 0 ? [] : ['', shape.colors.dim('alike in all'), ...tableLines(shared, { indent: '  ' })]),
  ];
}

/** Whether each run would say the same, as it is shown. */
function isShared({ cells }: Figure): boolean {
  return cells.length > 1 && cells.every((cell) => cell === cells[0]);
}

function ownLines(
  figures: readonly Figure[],
  cells: readonly Cells[],
  own: readonly string[],
  { colors, width }: Shape,
): readonly string[] {
  const numbers = cells.map((_, index) => String(index + 1));
  const byRun = blocksOf(figures, numbers, width);
  const blocks =
    byRun.length <= 2
      ? byRun
      : blocksOf(
          turned(figures, rowLabels(numbers, own, width)),
          figures.map(({ label }) => label),
          width,
        );
  return blocks.flatMap((block) => blockLines(block, colors));
}

interface Block {
  readonly head: readonly string[];
  readonly rows: readonly Figure[];
}

/** A table, with an empty line before it. */
function blockLines({ head, rows }: Block, colors: Colors): readonly string[] {
  const heading = ['', ...head].map((title) => colors.dim(title));
  return ['', ...tableLines([heading, ...rows.map(({ label, cells }) => [label, ...cells])])];
}

/** Tables below each other, with as many columns each as fit. */
function blocksOf(rows: readonly Figure[], head: readonly string[], width: number): readonly Block[] {
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const widths = head.map((title, index) =>
    Math.max(stringWidth(title), ...rows.map(({ cells }) => stringWidth(cells[index] ?? ''))),
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

/** The most of a line's width that says which run it is. */
const labelShare = 0.4;

/** The numbers of runs, with what is their own where that leaves room for figures. */
function rowLabels(numbers: readonly string[], own: readonly string[], width: number): readonly string[] {
  const longest = Math.max(...numbers.map(({ length }) => length));
  const labels = numbers.map((number, index) => `${number.padStart(longest)}  ${own[index] ?? ''}`.trimEnd());
  return Math.max(...labels.map(({ length }) => length)) <= labelShare * width ? labels : numbers;
}

/** Runs as rows, and figures as columns. */
function turned(figures: readonly Figure[], labels: readonly string[]): readonly Figure[] {
  return labels.map((label, run) => ({ label, cells: figures.map(({ cells }) => cells[run] ?? nothing) }));
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
  text: { loss(value: L | undefined): string; metric(metric: M, name: string): string },
): Cells {
  return {
    losses: new Map(
      Object.entries(trainings).flatMap(([stage, { loss, evaluationLoss }]) => [
        [`${stage} loss`, text.loss(loss)],
        [`${stage} evaluation loss`, text.loss(evaluationLoss)],
      ]),
    ),
    metrics: new Map(
      Object.entries(metrics).flatMap(([name, metric]) =>
        isShown(name, metric) ? [[name, text.metric(metric, name)]] : [],
      ),
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
