import * as Plot from '@observablehq/plot';
import { formatCount } from 'simmerkit';
import type { FunnelStep } from '../report-data.js';
import { draw } from './draw.js';

interface Bar {
  readonly name: string;
  readonly kept: number;
  readonly dropped: number;
  readonly why: string;
}

/** Rows that each curation step kept and dropped, in the order of the run. */
export function funnelChart(steps: readonly FunnelStep[]): string {
  const names = new Map<string, number>();
  const bars = steps.map((step): Bar => {
    const name =
      step.stage === step.step || step.step.endsWith(step.stage) ? step.stage : `${step.stage}: ${step.step}`;
    names.set(name, (names.get(name) ?? 0) + 1);
    const why = Object.entries(step.dropped)
      .filter(([, rows]) => rows > 0)
      .map(([rule, rows]) => `${rule} ${formatCount(rows)}`)
      .join(', ');
    const unique = (names.get(name) ?? 1) > 1 ? `${name} ${names.get(name)}` : name;
    return { name: unique, kept: step.rowsOut, dropped: Math.max(0, step.rowsIn - step.rowsOut), why };
  });
  const most = Math.max(1, ...bars.map((bar) => bar.kept + bar.dropped));
  const longestName = Math.max(0, ...bars.map((bar) => bar.name.length));
  return draw('Rows kept and dropped by each curation step', {
    height: 46 + 34 * bars.length,
    marginLeft: Math.min(220, 20 + 7 * longestName),
    marginRight: 60,
    marginTop: 8,
    marginBottom: 30,
    x: { domain: [0, most], label: null, ticks: 5, tickFormat: (value: number) => formatCount(value) },
    y: { domain: bars.map((bar) => bar.name), label: null, tickSize: 0 },
    marks: [
      Plot.barX(bars, { y: 'name', x1: 0, x2: 'kept', fill: 'var(--tuned)', insetTop: 3, insetBottom: 3 }),
      Plot.barX(bars, {
        y: 'name',
        x1: 'kept',
        x2: (bar: Bar) => bar.kept + bar.dropped,
        fill: 'var(--untuned)',
        fillOpacity: 0.35,
        insetTop: 3,
        insetBottom: 3,
        title: (bar: Bar) => (bar.why === '' ? 'nothing dropped' : `dropped: ${bar.why}`),
      }),
      Plot.text(bars, {
        y: 'name',
        x: (bar: Bar) => bar.kept + bar.dropped,
        text: (bar: Bar) => formatCount(bar.kept),
        textAnchor: 'start',
        dx: 6,
        fontVariant: 'tabular-nums',
      }),
    ],
  });
}
