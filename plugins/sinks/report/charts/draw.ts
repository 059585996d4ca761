import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { type ComparisonReport, comparedModels } from '../comparison-report.js';

/** Of the tuned models after the first, those of the methods that are furthest from the first two colours. */
const furtherColors = [4, 6, 7, 8, 1, 5, 3].map((method) => `var(--method-${method})`);

/** The colour of a model of a comparison; the page's style sheet gives each a light and a dark value. */
export function modelColor(report: ComparisonReport, model: string): string {
  if (report.models.untuned.includes(model)) return 'var(--untuned)';
  const place = report.models.tuned.indexOf(model);
  return place <= 0 ? 'var(--tuned)' : (furtherColors[(place - 1) % furtherColors.length] ?? 'var(--tuned)');
}

/** Where a model stands among those of a comparison: from -1 to 1, 0 in the middle. */
export function modelPosition(report: ComparisonReport, model: string): number {
  const models = comparedModels(report);
  return models.length < 2 ? 0 : (2 * models.indexOf(model)) / (models.length - 1) - 1;
}

/** Methods of thinking longer or shorter, in the order in which they are told apart; each has a colour and a shape. */
const knownMethods = [
  'budget-forcing',
  'none',
  'token-conditional',
  'token-conditional+forced',
  'step-conditional',
  'step-conditional+forced',
  'class-conditional',
  'rejection',
  'majority',
] as const;
const symbols = ['circle', 'times', 'square', 'square', 'triangle', 'triangle', 'diamond', 'star', 'wye'] as const;

/** All known methods, and then those of the report that are not among them. */
export function methodsOf(report: ComparisonReport): readonly string[] {
  return [...new Set<string>([...knownMethods, ...report.runs.map((run) => run.method)])];
}

/** A colour of the page's style sheet; a method that is not known shares one with another. */
export function methodColor(method: string, methods: readonly string[]): string {
  return `var(--method-${methods.indexOf(method) % knownMethods.length})`;
}

export function methodSymbol(method: string, methods: readonly string[]): (typeof symbols)[number] {
  return symbols[methods.indexOf(method) % symbols.length] ?? 'circle';
}

/**
 * Draws a plot to SVG text, outside any browser. `label` is what a reader who cannot see it is told. Widths and heights
 * are CSS pixels; the SVG scales down with its column.
 */
export function draw(label: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML('<html><body></body></html>');
  const figure = Plot.plot({
    document,
    width: 720,
    height: 340,
    marginTop: 28,
    marginRight: 28,
    marginBottom: 44,
    marginLeft: 56,
    ariaLabel: label,
    style: { background: 'transparent', fontSize: '12px', fontFamily: 'inherit' },
    ...options,
  });
  figure.setAttribute('role', 'img');
  figure.removeAttribute('class');
  for (const style of figure.querySelectorAll('style')) style.remove();
  return figure.outerHTML;
}
