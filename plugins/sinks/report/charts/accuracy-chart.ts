import * as Plot from '@observablehq/plot';
import {
  byMaximum,
  type ComparedRun,
  type ComparisonReport,
  comparedModels,
  longestRun,
} from '../comparison-report.js';
import { draw, modelColor, modelPosition, thinkingAxis } from './draw.js';

/** Whether a run has a place on a logarithmic axis. */
export function isThinking({ meanThinkingTokens }: Pick<ComparedRun, 'meanThinkingTokens'>): boolean {
  return meanThinkingTokens > 0;
}

/** Accuracy against mean thinking tokens on a log2 axis, with 95% intervals; a point is a maximum, its label says which. */
export function accuracyChart(report: ComparisonReport): string {
  const series = comparedModels(report).map((model) => byMaximum(report, model).filter(isThinking));
  const points = series.flat();
  const tokens = (run: ComparedRun) => run.meanThinkingTokens;
  const color = (run: ComparedRun) => modelColor(report, run.model);
  return draw('Accuracy against mean thinking tokens', {
    x: thinkingAxis(points.map(tokens)),
    y: { domain: [0, 100], label: 'accuracy, %', grid: true },
    marks: [
      Plot.ruleY([0]),
      ...series.map((runs) =>
        Plot.lineY(runs, { x: tokens, y: percent, stroke: modelColor(report, runs[0]?.model ?? ''), strokeWidth: 2 }),
      ),
      ...pointsWithIntervals(points, tokens, color),
      Plot.text(withRoom(points), {
        x: tokens,
        y: (run: ComparedRun) => run.interval[1] * 100,
        text: (run: ComparedRun) => (run.maxThinkingTokens === null ? 'no max' : `≤ ${run.maxThinkingTokens}`),
        dy: -9,
        fill: color,
        fontSize: 11,
      }),
    ],
  });
}

/** Accuracy by number of waits, at the largest maximum. */
export function waitsChart(report: ComparisonReport): string {
  const longest = new Map(comparedModels(report).map((model) => [model, longestRun(report, model)?.maxThinkingTokens]));
  const points = report.runs.filter(
    (run) => run.method === 'budget-forcing' && run.maxThinkingTokens === longest.get(run.model),
  );
  const position = (run: ComparedRun) => run.ignore + 0.06 * modelPosition(report, run.model);
  const color = (run: ComparedRun) => modelColor(report, run.model);
  const waits = [...new Set(points.map((run) => run.ignore))].sort((left, right) => left - right);
  return draw('Accuracy by number of waits', {
    x: {
      domain: [(waits[0] ?? 0) - 0.4, (waits.at(-1) ?? 0) + 0.4],
      ticks: waits,
      tickFormat: (value: number) => (value === 1 ? '1 wait' : `${value} waits`),
      label: null,
    },
    y: { domain: [0, 100], label: 'accuracy, %', grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(points, { x: position, y: percent, z: 'model', stroke: color, strokeWidth: 2, strokeDasharray: '2 4' }),
      ...pointsWithIntervals(points, position, color),
    ],
  });
}

function pointsWithIntervals(
  points: readonly ComparedRun[],
  x: (run: ComparedRun) => number,
  color: (run: ComparedRun) => string,
) {
  const y1 = (run: ComparedRun) => run.interval[0] * 100;
  const y2 = (run: ComparedRun) => run.interval[1] * 100;
  return [
    Plot.ruleX(points, { x, y1, y2, stroke: color, strokeWidth: 1.5, strokeOpacity: 0.65 }),
    Plot.dot(points, { x, y: percent, fill: color, r: 4.5, title: describe }),
  ];
}

function percent(run: ComparedRun): number {
  return run.accuracy * 100;
}

function describe(run: ComparedRun): string {
  const limit = run.maxThinkingTokens === null ? 'no maximum' : `at most ${run.maxThinkingTokens} thinking tokens`;
  const [low, high] = run.interval.map((bound) => (bound * 100).toFixed(1));
  return `${run.model}, ${limit}, ${run.ignore} waits\n${percent(run).toFixed(1)}% (95% interval ${low} to ${high}), mean ${run.meanThinkingTokens.toFixed(0)} thinking tokens`;
}

/**
 * Runs whose labels do not stand on one another: of two that are closer than an eighth of an octave and 6 points, the
 * later one, with its larger maximum.
 */
function withRoom(runs: readonly ComparedRun[]): readonly ComparedRun[] {
  const isApart = (one: ComparedRun, other: ComparedRun) =>
    Math.abs(Math.log2(one.meanThinkingTokens / other.meanThinkingTokens)) > 0.125 ||
    Math.abs(one.interval[1] - other.interval[1]) > 0.06;
  const kept: ComparedRun[] = [];
  for (const run of runs.toReversed()) if (kept.every((other) => isApart(run, other))) kept.push(run);
  return kept.reverse();
}
