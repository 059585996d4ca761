import { expect, it } from 'vitest';
import { comparisonReport } from '../comparison-report.js';
import { comparisonOfThree } from '../report.fixture.js';
import { accuracyChart } from './accuracy-chart.js';
import { thinkingAxis } from './draw.js';

it('labels the points of several models, and writes no label over another', () => {
  const report = comparisonReport.parse(comparisonOfThree());
  const labels = (of: typeof report) => [...accuracyChart(of).matchAll(/>(≤ \d+)</g)].map(([, label]) => label);
  const one = { ...report, models: { ...report.models, tuned: ['tuned'] } };
  expect(labels(one)).toContain('≤ 32');
  // The points of the third model are those of the second.
  expect(labels(report)).toEqual(labels(one));
});

it.each([
  [
    [20, 40],
    [24, 32, 48],
  ],
  [
    [17, 24],
    [16, 24],
  ],
  [
    [64, 500],
    [64, 128, 256, 512],
  ],
])('has whole numbers at its axis, of %s tokens too', (tokens, ticks) => {
  expect(thinkingAxis(tokens).ticks).toEqual(ticks);
});
