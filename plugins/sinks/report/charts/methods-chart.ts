import * as Plot from '@observablehq/plot';
import type { ComparedRun, ComparisonReport } from '../comparison-report.js';
import { type PublishedPoint, publishedProblems } from '../published-s1.js';
import { draw, methodColor, methodSymbol, methodsOf, thinkingAxis } from './draw.js';

interface Point {
  readonly method: string;
  readonly tokens: number;
  readonly percent: number;
  readonly interval: readonly [number, number] | undefined;
  readonly about: string;
  readonly isPublished: boolean;
  /** 0 to 1. */
  readonly opacity: number;
  /** Points that a line joins. */
  readonly line: string;
}

/**
 * Accuracy of every method against its mean thinking tokens on a log2 axis, with 95% intervals; published points are
 * hollow and joined by dashes. `published`: points of the paper that stand beside the run's own.
 */
export function methodsChart(report: ComparisonReport, published: readonly PublishedPoint[] = []): string {
  const points = [...report.runs.filter((run) => run.meanThinkingTokens > 0).map(ours), ...published.map(theirs)];
  const methods = methodsOf(report);
  const color = ({ method }: Point) => methodColor(method, methods);
  const own = points.filter((point) => !point.isPublished);
  const others = points.filter((point) => point.isPublished);
  const line = {
    x: 'tokens',
    y: 'percent',
    z: 'line',
    stroke: color,
    strokeOpacity: 'opacity',
    sort: 'tokens',
  } as const;
  return draw(`Accuracy of every method${published.length > 0 ? ' beside the published points' : ''}`, {
    height: 400,
    x: thinkingAxis(points.map((point) => point.tokens)),
    y: { domain: [0, 100], label: 'accuracy, %', grid: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(own, { ...line, strokeWidth: 2 }),
      Plot.line(others, { ...line, strokeWidth: 1.5, strokeDasharray: '3 4' }),
      Plot.ruleX(
        own.filter((point) => point.interval !== undefined),
        {
          x: 'tokens',
          y1: (point: Point) => point.interval?.[0] ?? 0,
          y2: (point: Point) => point.interval?.[1] ?? 0,
          stroke: color,
          strokeWidth: 1.5,
          strokeOpacity: (point: Point) => 0.6 * point.opacity,
        },
      ),
      ...methods.flatMap((method) => {
        const symbol = methodSymbol(method, methods);
        const of = (list: readonly Point[]) => list.filter((point) => point.method === method);
        return [
          Plot.dot(of(own), {
            x: 'tokens',
            y: 'percent',
            fill: color,
            fillOpacity: 'opacity',
            symbol,
            r: 5,
            title: 'about',
          }),
          Plot.dot(of(others), {
            x: 'tokens',
            y: 'percent',
            stroke: color,
            fill: 'var(--panel)',
            symbol,
            r: 4.5,
            title: 'about',
          }),
        ];
      }),
    ],
  });
}

function ours(run: ComparedRun): Point {
  const [low, high] = run.interval.map((bound) => bound * 100) as [number, number];
  const waits = run.ignore === 0 ? '' : ', waits';
  return {
    method: run.method,
    tokens: run.meanThinkingTokens,
    percent: run.accuracy * 100,
    interval: [low, high],
    about: `${run.model}, ${run.method}, ${run.policy}\n${(run.accuracy * 100).toFixed(1)}% (95% interval ${low.toFixed(1)} to ${high.toFixed(1)}), mean ${run.meanThinkingTokens.toFixed(0)} thinking tokens`,
    isPublished: false,
    opacity: run.role === 'untuned' ? 0.4 : 1,
    line: `${run.model} ${run.method}${waits}`,
  };
}

function theirs(point: PublishedPoint): Point {
  const percent = (100 * point.right) / publishedProblems;
  return {
    method: point.method,
    tokens: point.meanThinkingTokens,
    percent,
    interval: undefined,
    about: `s1-32B as published, ${point.method}\n${percent.toFixed(1)}% of AIME24, mean ${point.meanThinkingTokens} thinking tokens`,
    isPublished: true,
    opacity: 1,
    line: `published ${point.method}`,
  };
}
