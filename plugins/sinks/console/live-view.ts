import type { Colors } from 'picocolors/types.js';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatCounted,
  formatDuration,
  formatShare,
  formatUsd,
  inStageOrder,
} from 'simmerkit';
import { accuracyTable, accuracyTitle } from '../accuracy-table.js';
import { progressBar, sparkline } from './chart.js';
import {
  type ConsoleState,
  elapsedSeconds,
  type StageStatus,
  secondsLeft,
  type WatchedStage,
} from './console-state.js';
import { spendingText } from './spending-text.js';
import { fitted, padded, plainLine, widthOf } from './terminal-text.js';

export interface LiveViewOptions {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly columns: number;
  readonly rows: number;
  readonly colors: Colors;
  /** Why the run is being stopped, once someone asked for it. */
  readonly stopping?: string;
}

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const spinnerMilliseconds = 120;
/** How long the last line that was logged is shown beside figures that say more. */
const messageMilliseconds = 20_000;

/** What is left out, from nothing to nearly everything, until the view fits the terminal's height. */
const densities = [
  {},
  { messages: false },
  { messages: false, done: false },
  { messages: false, done: false, waiting: false },
  { messages: false, done: false, waiting: false, blanks: false },
  { messages: false, done: false, waiting: false, blanks: false, accuracies: false },
  { messages: false, done: false, waiting: false, blanks: false, accuracies: false, details: false },
] as const satisfies readonly Density[];

interface Density {
  readonly messages?: boolean;
  readonly done?: boolean;
  readonly waiting?: boolean;
  readonly blanks?: boolean;
  readonly accuracies?: boolean;
  readonly details?: boolean;
}

/** The view of a run that goes on. Never higher than the terminal less one line, never wider than it less one column. */
export function liveView(state: ConsoleState, options: LiveViewOptions): readonly string[] {
  const height = Math.max(1, options.rows - 1);
  let lines: readonly string[] = [];
  for (const density of densities) {
    lines = drawn(state, options, density);
    if (lines.length <= height) break;
  }
  return lines.slice(0, height).map((line) => fitted(line, options.columns - 1));
}

/** The stages as they stand at the end, however many. */
export function stageLines(state: ConsoleState, options: LiveViewOptions): readonly string[] {
  const layout = layoutOf(state, options);
  return [...state.stages.values()].map((stage) => fitted(stageLine(stage, options, layout), options.columns - 1));
}

function drawn(state: ConsoleState, options: LiveViewOptions, density: Density): readonly string[] {
  const { colors } = options;
  const blank = density.blanks === false ? [] : [''];
  const layout = layoutOf(state, options);
  const stages = [...state.stages.values()];
  const done = stages.filter(isDone);
  const waiting = stages.filter((stage) => stage.status === 'waiting');
  const lines = [...blank, headline(state, options), ...blank];
  if (density.done === false && done.length > 1) lines.push(doneLine(done, options));
  for (const stage of stages) {
    if (density.done === false && done.length > 1 && isDone(stage)) continue;
    if (density.waiting === false && waiting.length > 1 && stage.status === 'waiting') continue;
    lines.push(stageLine(stage, options, layout));
    if (stage.status === 'running' && density.details !== false) {
      const indent = ' '.repeat(5 + layout.name + (layout.uses === 0 ? 0 : layout.uses + 2));
      lines.push(...detailLines(stage, options, density.messages !== false).map((line) => indent + line));
    }
  }
  if (density.waiting === false && waiting.length > 1) {
    lines.push(colors.dim(` ○ ${waiting.length} more: ${waiting.map((stage) => stage.name).join(', ')}`));
  }
  if (density.accuracies !== false) {
    const table = accuracyLines(state, options);
    if (table.length > 0) lines.push(...blank, ...table);
  }
  return [...lines, ...blank, footer(state, options)];
}

interface Layout {
  readonly name: number;
  /** 0 where there is no room for it. */
  readonly uses: number;
}

function layoutOf(state: ConsoleState, { columns }: LiveViewOptions): Layout {
  const stages = [...state.stages.values()];
  const name = Math.min(Math.floor(columns / 4), Math.max(4, ...stages.map((stage) => widthOf(stage.name))));
  const uses = Math.max(0, ...stages.map((stage) => widthOf(stage.uses)));
  return { name, uses: columns >= name + uses + 75 ? uses : 0 };
}

function headline(state: ConsoleState, { now, columns, colors }: LiveViewOptions): string {
  const left = ` ${colors.bold(plainLine(state.recipe) || 'simmer')}  ${colors.dim(state.runId)}${
    state.resumed ? colors.dim(' (resumed)') : ''
  }`;
  const spent = spendingText(state.spending);
  const right = `${spent === '' ? '' : `${spent}  `}${formatDuration(elapsedSeconds(state, now))}`;
  return `${left}  ${padded(right, Math.max(1, columns - 4 - widthOf(left)), 'left')}`;
}

function footer(state: ConsoleState, { now, colors, stopping }: LiveViewOptions): string {
  if (stopping !== undefined) {
    return colors.yellow(` ${plainLine(stopping)}: stopping, what is paid for is kept. Once more ends it at once.`);
  }
  const { message } = state;
  const isFresh = message !== undefined && now - message.at < messageMilliseconds;
  return colors.dim(isFresh ? ` ${plainLine(message.text)}` : ' Ctrl-C stops and keeps what is done.');
}

function doneLine(done: readonly WatchedStage[], { colors }: LiveViewOptions): string {
  const reused = done.filter((stage) => stage.status === 'reused').length;
  const seconds = done.reduce((sum, stage) => sum + (stage.seconds ?? 0), 0);
  const cached = reused === 0 ? '' : `, ${reused} from the cache`;
  return ` ${colors.green('✔')} ${formatCounted(done.length, 'stage')} done${cached}${colors.dim(`  ${formatDuration(seconds)}`)}`;
}

function stageLine(stage: WatchedStage, options: LiveViewOptions, layout: Layout): string {
  const { now, columns, colors } = options;
  const quiet = stage.status === 'waiting' || stage.status === 'reused' ? colors.dim : (text: string) => text;
  const name = padded(fitted(plainLine(stage.name), layout.name), layout.name);
  const uses = layout.uses === 0 ? '' : `  ${colors.dim(padded(plainLine(stage.uses), layout.uses))}`;
  const left = ` ${icon(stage.status, options)} ${stage.status === 'running' ? colors.bold(name) : quiet(name)}${uses}  `;
  const seconds = stage.status === 'running' ? Math.max(0, now - (stage.startedAt ?? now)) / 1000 : stage.seconds;
  const time = seconds === undefined ? '' : formatDuration(seconds);
  const room = columns - 2 - widthOf(left) - 9;
  return `${left}${padded(fitted(summary(stage, options, room), room), room)} ${padded(colors.dim(time), 8, 'left')}`;
}

function icon(status: StageStatus, { now, colors }: LiveViewOptions): string {
  switch (status) {
    case 'waiting':
      return colors.dim('○');
    case 'running':
      return colors.cyan(spinner[Math.floor(now / spinnerMilliseconds) % spinner.length] ?? '');
    case 'completed':
      return colors.green('✔');
    case 'reused':
      return colors.green('↺');
    case 'failed':
      return colors.red('✖');
    case 'interrupted':
      return colors.yellow('■');
  }
}

/** What stands behind a stage's name. */
function summary(stage: WatchedStage, options: LiveViewOptions, room: number): string {
  const { colors } = options;
  switch (stage.status) {
    case 'waiting':
      return '';
    case 'running':
      return progress(stage, options, room);
    case 'reused':
      return colors.dim('from the cache');
    case 'failed':
      return colors.red('failed');
    case 'interrupted':
      return colors.yellow(
        stage.checkpointStep === undefined ? 'stopped' : `stopped, kept up to step ${stage.checkpointStep}`,
      );
    case 'completed':
      return outcome(stage);
  }
}

/** What a stage that is done has done, in a few words. */
export function outcome(stage: WatchedStage): string {
  const first = stage.losses[0];
  const last = stage.losses.at(-1);
  if (stage.step !== undefined && first !== undefined && last !== undefined) {
    return `loss ${first.loss.toFixed(3)} → ${last.loss.toFixed(3)} in ${formatCounted(last.step, 'step')}`;
  }
  if (stage.rows !== undefined) {
    const { in: before, out } = stage.rows;
    const rows = formatCounted(out, 'row');
    return before === out ? rows : `${formatCount(before)} → ${rows}`;
  }
  return stage.progress === undefined ? '' : countText(stage.progress.done, null, stage.progress.unit);
}

function progress(stage: WatchedStage, { now, colors }: LiveViewOptions, room: number): string {
  const { done, total, unit } = counted(stage);
  if (done === undefined) return colors.dim(stage.message === undefined ? 'starting' : plainLine(stage.message.text));
  const count = countText(done, total, unit);
  if (total === null) return count;
  const left = secondsLeft(stage, now);
  const text = left === undefined ? count : `${count} · ${timeLeft(left)} left`;
  const barWidth = Math.min(30, room - widthOf(text) - 1);
  if (barWidth < 5) return text;
  const [filled, open] = progressBar(total === 0 ? 1 : done / total, barWidth);
  return `${colors.cyan(filled)}${colors.dim(open)} ${text}`;
}

/** How far the stage is: in steps while it trains, otherwise as it says itself. */
export function counted(stage: WatchedStage): {
  readonly done: number | undefined;
  readonly total: number | null;
  readonly unit: string;
} {
  if (stage.step !== undefined) return { done: stage.step.step, total: stage.step.totalSteps, unit: 'steps' };
  if (stage.training !== undefined) {
    return { done: stage.training.resumedAfterStep, total: stage.training.totalSteps, unit: 'steps' };
  }
  return { done: stage.progress?.done, total: stage.progress?.total ?? null, unit: stage.progress?.unit ?? '' };
}

/** "5/10 rows", "1/1 row", "4.2 MB/1.9 GB"; without a total "5 rows". */
export function countText(done: number, total: number | null, unit: string): string {
  const format = unit === 'bytes' ? formatBytes : formatCount;
  const count = total === null ? format(done) : `${format(done)}/${format(total)}`;
  // Units are plurals, such as "rows" and "rows written".
  return unit === 'bytes' ? count : `${count} ${plainLine((total ?? done) === 1 ? unit.replace(/s\b/, '') : unit)}`;
}

/** Whole seconds: an estimate is no stopwatch. */
export function timeLeft(seconds: number): string {
  return seconds < 59.5 ? `${Math.round(seconds)}s` : formatDuration(seconds);
}

function detailLines(stage: WatchedStage, options: LiveViewOptions, withMessage: boolean): readonly string[] {
  const { now, colors, columns } = options;
  const lines: string[] = [];
  if (stage.losses.length > 1) {
    const values = stage.losses.map((point) => point.loss);
    lines.push(colors.magenta(sparkline(values, Math.min(40, Math.floor(columns / 3)))));
  }
  const figures = figuresOf(stage);
  if (figures.length > 0) lines.push(figures.join(colors.dim(' · ')));
  const { message } = stage;
  const isFresh = message !== undefined && now - message.at < messageMilliseconds;
  if (withMessage && isFresh && counted(stage).done !== undefined) lines.push(colors.dim(plainLine(message.text)));
  return lines;
}

/** The figures of a running stage: those of its last step, or those that it says itself. */
export function figuresOf(stage: WatchedStage): readonly string[] {
  const { step, progress: told, training } = stage;
  if (step !== undefined) {
    return [
      `loss ${step.loss === null ? 'not finite' : step.loss.toFixed(3)}`,
      `${formatCount(step.tokensPerSecond)} tokens/s`,
      ...(step.modelFlopsUtilization === undefined ? [] : [`${formatShare(step.modelFlopsUtilization)} MFU`]),
      ...(step.peakMemoryBytes > 0 ? [formatBytes(step.peakMemoryBytes)] : []),
      ...(stage.checkpointStep === undefined ? [] : [`checkpoint at ${formatCount(stage.checkpointStep)}`]),
      `learning rate ${step.learningRate === 0 ? 0 : step.learningRate.toExponential(1)}`,
    ];
  }
  if (training !== undefined) {
    return [formatCounted(training.rows, 'row'), `${formatCompact(training.trainedParameters)} parameters`];
  }
  const pace = told?.perSecond === undefined ? [] : [rateOf(told.perSecond, plainLine(told.unit))];
  const { accuracy, accuracyLow, accuracyHigh, ...others } = told?.figures ?? {};
  // What is counted stands before them already, and of nothing there is nothing to say.
  const further = Object.entries(others).filter(([name, value]) => name !== told?.unit && value !== 0);
  return [
    ...pace,
    ...further.map(([name, value]) => figure(name, value)),
    ...(accuracy === undefined ? [] : [`accuracy ${formatShare(accuracy)}${boundsOf(accuracyLow, accuracyHigh)}`]),
  ];
}

/** "1,200 rows/s", "4.2 MB/s"; what takes seconds is counted by the minute. */
function rateOf(perSecond: number, unit: string): string {
  if (unit === 'bytes') return `${formatBytes(perSecond)}/s`;
  return perSecond < 1 ? `${formatCount(60 * perSecond)} ${unit}/min` : `${formatCount(perSecond)} ${unit}/s`;
}

function boundsOf(low: number | undefined, high: number | undefined): string {
  return low === undefined || high === undefined ? '' : ` (95%: ${formatShare(low)} to ${formatShare(high)})`;
}

/** {"tokensPerSecond": 210} as "210 tokens/s", {"outputTokens": 8100} as "8,100 output tokens", {"dollars": 0.5} as "$0.50". */
function figure(name: string, value: number): string {
  if (name === 'dollars') return formatUsd(value);
  const words = plainLine(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
  return `${formatCount(value)} ${words.replace(/ per second$/, '/s')}`;
}

function accuracyLines(state: ConsoleState, { colors, columns }: LiveViewOptions): readonly string[] {
  const { models, policies } = accuracyTable(inStageOrder(state.figures, state.stages.keys()));
  if (policies.length === 0) return [];
  const title = accuracyTitle(policies);
  const label = Math.max(widthOf(title), ...policies.map((policy) => widthOf(policy.label))) + 2;
  const cell = Math.max(8, ...models.map((model) => widthOf(model) + 2));
  const barWidth = Math.min(30, columns - 4 - label - cell * models.length);
  const head = models.map((model) => padded(model, cell, 'left')).join('');
  return [
    colors.dim(` ${padded(title, label)}${head}`),
    ...policies.map(({ label: policy, accuracies }) => {
      const cells = models.map((model) => {
        const accuracy = accuracies.get(model);
        return padded(accuracy === undefined ? colors.dim('·') : formatShare(accuracy.value), cell, 'left');
      });
      const last = accuracies.get(models.at(-1) ?? '');
      const bar = last === undefined || barWidth < 8 ? '' : colors.green(progressBar(last.value, barWidth)[0]);
      return ` ${padded(policy, label)}${cells.join('')}  ${bar}`;
    }),
  ];
}

function isDone(stage: WatchedStage): boolean {
  return stage.status === 'completed' || stage.status === 'reused';
}
