import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { type ComparisonReport, comparedModels } from '../comparison-report.js';

/** Of the tuned models after the first, those of the methods that are furthest from the first two colours. */
const furtherColors = [4, 6, 7, 8, 1, 5, 3].map((method) => `method-${method}` as const);

/** What the page's style sheet calls a colour, of which it has a light and a dark value. */
type ColorName = 'untuned' | 'tuned' | `method-${number}`;

/** The colour of a model of a comparison, for what is drawn. */
export function modelColor(report: ComparisonReport, model: string): string {
  return `var(--${modelColorName(report, model)})`;
}

/** The class of an element that shows the colour of a model: an attribute with a style is forbidden to the page. */
export function modelClass(report: ComparisonReport, model: string): string {
  return `color-${modelColorName(report, model)}`;
}

function modelColorName(report: ComparisonReport, model: string): ColorName {
  if (report.models.untuned.includes(model)) return 'untuned';
  const place = report.models.tuned.indexOf(model);
  return place <= 0 ? 'tuned' : (furtherColors[(place - 1) % furtherColors.length] ?? 'tuned');
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

/** A method that is not known shares its colour with another. */
export function methodColor(method: string, methods: readonly string[]): string {
  return `var(--${methodColorName(method, methods)})`;
}

/** As `modelClass`. */
export function methodClass(method: string, methods: readonly string[]): string {
  return `color-${methodColorName(method, methods)}`;
}

function methodColorName(method: string, methods: readonly string[]): ColorName {
  return `method-${methods.indexOf(method) % knownMethods.length}`;
}

/** What gives elements of `modelClass` and `methodClass` their colour. */
export const colorRules = (['untuned', 'tuned', ...knownMethods.map((_, index) => `method-${index}` as const)] as const)
  .map((name: ColorName) => `.color-${name} { --color: var(--${name}); }`)
  .join('\n');

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
    ...options,
  });
  figure.setAttribute('role', 'img');
  figure.removeAttribute('class');
  // The page's style sheet has them.
  figure.removeAttribute('style');
  for (const style of figure.querySelectorAll('style')) style.remove();
  return figure.outerHTML;
}

/** A logarithmic axis of mean thinking tokens, with room beside the first and the last. @param tokens above 0 */
export function thinkingAxis(tokens: readonly number[]): Plot.ScaleOptions {
  const domain = [Math.min(...tokens) / 1.2, Math.max(...tokens) * 1.2] as const;
  const powers = multiplesOfPowers(1, domain);
  // Within two octaves those between them, too: 24, 48, 96.
  const ticks =
    powers.length > 2 ? powers : [...powers, ...multiplesOfPowers(1.5, domain)].sort((one, other) => one - other);
  return { type: 'log', base: 2, domain, ticks, tickFormat: String, label: 'mean thinking tokens (log2)' };
}

/** factor x 2^n, within two bounds. */
function multiplesOfPowers(factor: number, [low, high]: readonly [number, number]): number[] {
  const first = Math.ceil(Math.log2(low / factor));
  const last = Math.floor(Math.log2(high / factor));
  return Array.from({ length: last - first + 1 }, (_, index) => factor * 2 ** (first + index));
}
