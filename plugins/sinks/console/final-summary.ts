import { pathToFileURL } from 'node:url';
import { type EventData, formatCounted, formatDuration, formatShare, inStageOrder, wrapLine } from 'simmerkit';
import { accuracyTable, accuracyTitle, measuredDifferences, signedPoints } from '../accuracy-table.js';
import { type ConsoleState, elapsedSeconds } from './console-state.js';
import type { LiveViewOptions } from './live-view.js';
import { spendingText } from './spending-text.js';
import { padded, plainLine, widthOf } from './terminal-text.js';

interface FinalSummaryOptions extends Pick<LiveViewOptions, 'now' | 'columns' | 'colors'> {
  /** Whether paths are links that a terminal opens. */
  readonly links: boolean;
  /** How Simmer is called for this run. */
  readonly command: string;
}

/** What came of a run that ended: accuracies, what thinking longer did, where the report is, how to go on. */
export function finalSummary(state: ConsoleState, options: FinalSummaryOptions): readonly string[] {
  const { colors, columns, command } = options;
  const took = formatDuration(elapsedSeconds(state, options.now));
  const name = colors.bold(plainLine(state.recipe));
  const spent = spendingText(state.spending);
  const spentLines = spent === '' ? [] : [`  spent   ${spent}`];
  const inStage = state.failure?.stage === undefined ? '' : ` in stage ${state.failure.stage}`;
  const kept = 'Finished stages and checkpoints are kept.';
  switch (state.status) {
    case 'completed':
      return [
        ...accuracies(state, options),
        ...differences(state, options),
        '',
        `${colors.green('✔')} ${name} done in ${took}: ${stageCounts(state)}`,
        `  run     ${state.runId}`,
        ...spentLines,
        ...(state.reportPath === undefined ? [] : [`  report  ${link(state.reportPath, options)}`]),
      ];
    case 'interrupted':
      return [
        '',
        ...wrapLine(
          `${colors.yellow('■')} ${name} stopped after ${took} (${plainLine(state.reason ?? '')}). ${kept}`,
          columns,
        ),
        ...spentLines,
        // Of a limit, the error below says how.
        ...(state.limit === undefined ? [`  go on with: ${colors.bold(`${command} resume ${state.runId}`)}`] : []),
      ];
    case 'failed':
      return [
        '',
        ...wrapLine(`${colors.red('✖')} ${name} failed after ${took}${inStage}. ${kept}`, columns),
        ...spentLines,
        // A run goes on by the recipe that it began with.
        `  once mended in the recipe:  ${colors.bold(`${command} run`)} again, which does nothing twice`,
        `  once mended elsewhere:      ${colors.bold(`${command} resume ${state.runId}`)}`,
      ];
    case 'starting':
    case 'running':
      return [];
  }
}

function stageCounts(state: ConsoleState): string {
  const stages = [...state.stages.values()];
  const reused = stages.filter((stage) => stage.status === 'reused').length;
  const total = formatCounted(stages.length, 'stage');
  if (reused === 0) return total;
  return reused === stages.length ? `${total}, all from the cache` : `${total}, ${reused} from the cache`;
}

function accuracies(state: ConsoleState, { colors, columns }: FinalSummaryOptions): readonly string[] {
  const { models, policies } = accuracyTable(inStageOrder(state.figures, state.stages.keys()));
  if (policies.length === 0) return [];
  const counts = new Set(policies.flatMap(({ accuracies }) => [...accuracies.values()].map((metric) => metric.count)));
  const [count] = counts;
  const of = counts.size === 1 && count !== undefined ? `on ${formatCounted(count, 'problem')}` : '';
  const ofModels = models.map((model) => ofProblems(policies.flatMap(({ accuracies }) => accuracies.get(model) ?? [])));
  const isByModel = counts.size > 1 && ofModels.every((text) => text !== '');
  const isByPolicy = counts.size > 1 && !isByModel;
  const lines = [withInterval, withoutInterval].map((cell) =>
    table([
      [
        accuracyTitle(policies, of),
        ...models.map((model, index) => (isByModel ? `${model}${ofModels[index]}` : model)),
      ],
      ...policies.map(({ label, accuracies }) => [
        isByPolicy ? `${label}${ofProblems([...accuracies.values()])}` : label,
        ...models.map((model) => cell(accuracies.get(model))),
      ]),
    ]),
  );
  return ['', ...withDimHead(narrowest(lines, columns), colors)];
}

/** Of how many problems all of these figures are; nothing where they differ. */
function ofProblems(figures: readonly { readonly count?: number | undefined }[]): string {
  const [count, ...others] = new Set(figures.map((figure) => figure.count));
  return count === undefined || others.length > 0 ? '' : `, ${formatCounted(count, 'problem')}`;
}

function differences(state: ConsoleState, { colors, columns }: FinalSummaryOptions): readonly string[] {
  const rows = measuredDifferences(inStageOrder(state.figures, state.stages.keys())).map(({ label, metric }) => {
    const points = `${signedPoints(metric.value)} points`;
    const interval = metric.interval?.map(signedPoints).join(', ');
    const { wrongToRight, rightToWrong } = metric.labels ?? {};
    const changed = wrongToRight === undefined ? '' : `${wrongToRight} wrong → right, ${rightToWrong} right → wrong`;
    const proven = metric.interval === undefined ? 0 : provenSign(metric.interval);
    const paint = proven === 1 ? colors.green : proven === -1 ? colors.red : (text: string) => text;
    return [plainLine(label), paint(points), interval === undefined ? '' : `[${interval}]`, changed];
  });
  if (rows.length === 0) return [];
  const whole = [['difference', '', '95% interval', ''], ...rows];
  const lines = [4, 3, 2].map((width) => table(whole.map((row) => row.slice(0, width))));
  return ['', ...withDimHead(narrowest(lines, columns), colors)];
}

/** The first of the tables that fits; the last where none does. */
function narrowest(tables: readonly (readonly string[])[], columns: number): readonly string[] {
  return tables.find((lines) => lines.every((line) => widthOf(line) < columns)) ?? tables.at(-1) ?? [];
}

function withDimHead(
  [head = '', ...rest]: readonly string[],
  colors: FinalSummaryOptions['colors'],
): readonly string[] {
  return [colors.dim(head), ...rest];
}

function provenSign([low, high]: readonly [number, number]): 1 | -1 | 0 {
  return low > 0 ? 1 : high < 0 ? -1 : 0;
}

function withInterval(metric: EventData['metric.measured'] | undefined): string {
  if (metric === undefined) return '';
  const share = formatShare(metric.value);
  if (metric.interval === undefined) return share;
  const [low, high] = metric.interval;
  return `${share} [${(low * 100).toFixed(1)}, ${(high * 100).toFixed(1)}]`;
}

function withoutInterval(metric: EventData['metric.measured'] | undefined): string {
  return metric === undefined ? '' : formatShare(metric.value);
}

/** Columns as wide as their widest cell, two spaces apart; the first to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => widthOf(row[column] ?? ''))));
  return rows.map((row) =>
    row
      .map((cell, column) => padded(cell, widths[column] ?? 0, column === 0 ? 'right' : 'left'))
      .join('  ')
      .trimEnd(),
  );
}

/** OSC 8: terminals that do not know it show the text alone. */
function link(path: string, { links, colors }: FinalSummaryOptions): string {
  if (!links) return path;
  return `\u001b]8;;${pathToFileURL(path).href}\u001b\\${colors.underline(path)}\u001b]8;;\u001b\\`;
}
