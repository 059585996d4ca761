import type { Colors } from 'picocolors/types.js';
import type { StageForecast } from '../../engine/estimate-plan.js';
import { formatBytes, formatCount, formatCounted, formatDuration, formatUsd } from '../../figures.js';
import type { CalibrationRun } from '../../plugin/estimate.js';
import type { BudgetLimits } from '../../recipe/budget.js';
import { wrapLine } from '../../wrap-text.js';
import { tableLines } from '../table.js';

export interface Shape {
  readonly colors: Colors;
  /** Of the terminal; sentences are wrapped to it. @default not wrapped */
  readonly width?: number | undefined;
}

/** What a plan takes, for people: a line a stage, the whole, and what to change where something does not fit. */
export function estimateLines(
  forecasts: readonly StageForecast[],
  budget: BudgetLimits | undefined,
  shape: Shape,
): readonly string[] {
  const { colors, width } = shape;
  const isTold = (each: StageForecast) => (each.memory ?? each.seconds ?? each.usd ?? each.figures) !== undefined;
  const told = forecasts.filter((each) => !each.isDone && isTold(each));
  const others = forecasts.filter((each) => !each.isDone && !isTold(each));
  if (told.length === 0) return withoutLines(others, shape);
  const heading = ['estimate', 'time', 'cost', 'memory of one GPU', ''].map((title) => colors.dim(title));
  const rows = told.map((each) => [each.stage, timeOf(each), costOf(each), memoryOf(each), verdictOn(each, colors)]);
  return [
    ...tableLines([heading, ...rows], { indent: '  ' }),
    ...sharedLines(told, partsOf, width),
    ...sharedLines(told, notesOf, width).map((line) => colors.dim(line)),
    ...told.flatMap((each) => adviceLines(each, colors)),
    ...totalLines([...told, ...others.filter(({ notes }) => notes !== undefined)], budget, shape),
    ...withoutLines(others, shape),
    '',
  ];
}

/** Why there is no estimate of some stages. */
function withoutLines(forecasts: readonly StageForecast[], { colors, width }: Shape): readonly string[] {
  return [...stagesByText(forecasts, notesOf)].flatMap(([why, stages]) =>
    wrapLine(`  no estimate of ${stages.join(', ')}: ${why}`, width).map(colors.dim),
  );
}

function notesOf({ notes = [] }: StageForecast): readonly string[] {
  return notes;
}

/** More stages than these are counted: their names would hide what is said of them. */
const namesShown = 6;

/** What is said of stages, each text once, behind the stages that it holds for. */
function sharedLines(
  forecasts: readonly StageForecast[],
  textsOf: (forecast: StageForecast) => readonly string[],
  width: number | undefined,
): readonly string[] {
  return [...stagesByText(forecasts, textsOf)].flatMap(([text, stages]) =>
    wrapLine(`  ${namesOf(stages)}: ${text}`, width),
  );
}

/** "a, b"; of many "a, b, c, d, e and 7 more". */
export function namesOf(stages: readonly string[]): string {
  const names = stages.length <= namesShown ? stages : stages.slice(0, namesShown - 1);
  const others = stages.length - names.length;
  return `${names.join(', ')}${others === 0 ? '' : ` and ${others} more`}`;
}

function stagesByText(
  forecasts: readonly StageForecast[],
  textsOf: (forecast: StageForecast) => readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const stages = new Map<string, string[]>();
  for (const forecast of forecasts) {
    for (const text of new Set(textsOf(forecast))) stages.set(text, [...(stages.get(text) ?? []), forecast.stage]);
  }
  return stages;
}

function timeOf({ seconds, isAtMost }: StageForecast): string {
  return seconds === undefined ? 'unknown' : `${isAtMost ? 'at most ' : ''}${formatDuration(seconds)}`;
}

function costOf({ usd, isAtMost }: StageForecast): string {
  return usd === undefined ? '' : `${isAtMost ? 'at most ' : ''}${formatUsd(usd)}`;
}

function memoryOf({ memory, memoryBytes }: StageForecast): string {
  if (memory === undefined) return '';
  const of = memoryBytes === undefined ? '' : ` of ${formatBytes(memoryBytes)}`;
  return `${formatBytes(sumOf(memory))}${of}`;
}

function verdictOn({ fits }: StageForecast, colors: Colors): string {
  if (fits === undefined) return '';
  return fits ? colors.green('fits') : colors.red('does not fit');
}

function partsOf({ memory, time, figures }: StageForecast): readonly string[] {
  const parts = memory?.map(({ part, bytes }) => `${part} ${formatBytes(bytes)}`).join(', ');
  const times = time?.map(({ part, seconds }) => `${part} ${formatDuration(seconds)}`).join(', ');
  const numbers = Object.entries(figures ?? {}).map(([name, value]) => `${words(name)} ${figure(name, value)}`);
  return [
    ...(parts === undefined ? [] : [parts]),
    ...(times === undefined ? [] : [times]),
    ...(numbers.length === 0 ? [] : [numbers.join(', ')]),
  ];
}

/** Each change with what it saves, the mildest first. */
function adviceLines({ stage, fits, memory = [], memoryBytes = 0, advice = [] }: StageForecast, colors: Colors) {
  if (fits !== false) return [];
  const now = sumOf(memory);
  const width = Math.max(36, ...advice.map(({ change }) => change.length));
  const lines = advice.flatMap(({ change, bytes, memoryBytes: other }) => {
    const room = other ?? memoryBytes;
    if (bytes >= now && room <= memoryBytes) return [];
    const enough = bytes <= 0.95 * room ? colors.green('fits then') : 'not enough alone';
    const what = other === undefined ? `saves ${formatBytes(now - bytes)}` : `has ${formatBytes(other)}`;
    return [`    ${change.padEnd(width)} ${what}: ${bytes === 0 ? 'none is needed' : formatBytes(bytes)}, ${enough}`];
  });
  return [colors.yellow(`  ${stage} does not fit. What to change:`), ...lines];
}

/** The whole; it is the most that it can be only where nothing is left out. */
function totalLines(forecasts: readonly StageForecast[], budget: BudgetLimits | undefined, { colors, width }: Shape) {
  const usd = sum(forecasts.map((each) => each.usd));
  const gpuHours = sum(forecasts.map((each) => each.gpuHours));
  const untimed = forecasts.filter((each) => each.seconds === undefined).length;
  const unpaid = forecasts.filter((each) => each.seconds === undefined && each.usd === undefined).length;
  if (unpaid === forecasts.length) return [];
  const isAtMost = forecasts.some((each) => each.isAtMost);
  const total = (left: number, text: string, what: string) =>
    left === 0
      ? `${isAtMost ? 'at most ' : ''}${text}`
      : `${text}, without ${formatCounted(left, 'stage')} of unknown ${what}`;
  const seconds = formatDuration(sum(forecasts.map((each) => each.seconds)));
  const time =
    untimed === forecasts.length
      ? 'how long is not known'
      : total(untimed, `${seconds} one after the other, ${formatCount(gpuHours)} GPU-hours`, 'time');
  const over = [
    ...(budget?.usd !== undefined && usd > budget.usd ? [`usd: ${budget.usd}`] : []),
    ...(budget?.gpuHours !== undefined && gpuHours > budget.gpuHours ? [`gpuHours: ${budget.gpuHours}`] : []),
  ];
  return [
    ...wrapLine(`  ${colors.bold('in all')} ${total(unpaid, formatUsd(usd), 'cost')}; ${time}`, width),
    ...(over.length === 0
      ? []
      : wrapLine(`  The budget (${over.join(', ')}) may end it before: see docs/recipes.md.`, width).map(
          colors.yellow,
        )),
  ];
}

/** Published runs with what the estimates say of them, for people. */
export function calibrationLines(
  trainers: readonly { readonly trainer: string; readonly runs: readonly CalibrationRun[] }[],
  colors: Colors,
): readonly string[] {
  return trainers.flatMap(({ trainer, runs }) => {
    const heading = ['run', '', 'predicted', 'published', 'ratio', 'unit'].map((title) => colors.dim(title));
    const rows = runs.map((run) => [
      run.run,
      run.role,
      formatCount(run.predicted),
      formatCount(run.published),
      ratioOf(run),
      run.unit,
    ]);
    const sources = [...new Set(runs.map((run) => `${run.role}: ${run.source}`))];
    return [
      colors.bold(trainer),
      ...tableLines([heading, ...rows], { indent: '  ', right: [2, 3, 4] }),
      ...sources.map((source) => colors.dim(`  ${source}`)),
    ];
  });
}

function ratioOf({ predicted, published }: CalibrationRun): string {
  return (predicted / published).toFixed(2);
}

function sumOf(memory: readonly { readonly bytes: number }[]): number {
  return memory.reduce((total, { bytes }) => total + bytes, 0);
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}

/** "tokensPerSecondPerGpu" as "tokens per second per gpu". */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function figure(name: string, value: number): string {
  if (name === 'modelFlopsUtilization') return `${(100 * value).toFixed(0)}%`;
  return formatCount(value);
}
