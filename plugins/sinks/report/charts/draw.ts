import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** Colours by role; the page's style sheet gives each a light and a dark value. */
export const roleColor = { untuned: 'var(--untuned)', tuned: 'var(--tuned)' } as const;

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
