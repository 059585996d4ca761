import { expect, it } from 'vitest';
import { accuracyTable } from '../accuracy-table.js';
import { comparisonReport } from './comparison-report.js';
import { accuracySection, gradedSection, headline, waitsSection } from './evaluation-sections.js';
import { comparisonOfThree } from './report.fixture.js';

const { runs, differences, ...rest } = comparisonOfThree();
const plain = {
  ...runs[0],
  role: 'tuned',
  model: 'tuned',
  policy: 'none',
  method: 'none',
  maxThinkingTokens: null,
  meanThinkingTokens: 0,
};
const reportOf = (more: object) => comparisonReport.parse({ ...rest, runs, differences, ...more });

it('heads with the longest thinking where a model also answered without any, and says which maxima were made to wait', () => {
  const [wait] = differences.filter(({ kind }) => kind === 'waits');
  const shorter = { ...wait, from: { model: 'tuned', policy: '32' }, to: { model: 'tuned', policy: '32+1xWait' } };
  const of = (more: object) => headline(reportOf(more)).text;
  const longest = '<div class="figure">82.0%</div><div class="label">accuracy of tuned</div>';

  expect(of({})).toContain(longest);
  expect(of({})).toContain('<div>1xWait: 95% interval');
  const both = of({ runs: [...runs, plain], differences: [...differences, shorter] });
  expect(both).toContain(longest);
  expect(both).toContain('<div>128+1xWait: 95% interval');
  expect(both).toContain('<div>32+1xWait: 95% interval');
  expect(of({ runs: [plain] })).toContain('<div class="detail">200 problems</div>');
});

it('draws no accuracy against thinking where nobody thought', () => {
  const chart = 'aria-label="Accuracy against mean thinking tokens"';
  expect(accuracySection(reportOf({ runs: [...runs, plain] })).text).toContain(chart);
  const { text } = accuracySection(reportOf({ runs: [plain], differences: [] }));
  expect(text).toContain('<td>tuned</td><td>none</td><td class="number">200 × 4</td>');
  expect(text).not.toMatch(/thinking|forced|thead>[^<]*<tbody>\s*<\/tbody/);
});

it('says nothing of thinking of what was graded where no model was to think', () => {
  const graded = (labels: Readonly<Record<string, string | number>>) => {
    const figure = { name: 'tuned.accuracy@p', value: 0.5, labels: { model: 'tuned', policy: 'p', ...labels } };
    return gradedSection(accuracyTable([{ stage: 'graded', figure }])).text;
  };
  expect(graded({ maxThinkingTokens: 64 })).toContain('<td>64 tokens</td>');
  expect(graded({ method: 'none' })).not.toContain('thinking');
});

it('draws what waiting did beside the longest thinking, where a model also answered without any', () => {
  const drawn = ({ text }: { readonly text: string }) => text.match(/, [0-9] waits/g)?.sort();
  const waits = drawn(waitsSection(reportOf({})));
  expect(waits).toContain(', 2 waits');
  expect(drawn(waitsSection(reportOf({ runs: [...runs, plain] })))).toEqual(waits);
});

it('writes a loss by thinking longer with the minus sign of the differences beside it', () => {
  const losing = { ...rest.scaling[0], scalingPerDoubling: -8.3, scalingPerToken: -0.39062 };
  const { text } = accuracySection(reportOf({ scaling: [losing] }));
  expect(text).toContain('<td class="number">\u22128.3</td><td class="number">\u22120.39062</td>');
});
