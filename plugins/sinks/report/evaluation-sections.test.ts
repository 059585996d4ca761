import { expect, it } from 'vitest';
import { comparisonReport } from './comparison-report.js';
import { headline } from './evaluation-sections.js';
import { comparisonOfThree } from './report.fixture.js';

it('heads with the longest thinking where a model also answered without any, and says which maxima were made to wait', () => {
  const { runs, differences, ...rest } = comparisonOfThree();
  const plain = { ...runs[0], role: 'tuned', model: 'tuned', policy: 'none', method: 'none', maxThinkingTokens: null };
  const [wait] = differences.filter(({ kind }) => kind === 'waits');
  const shorter = { ...wait, from: { model: 'tuned', policy: '32' }, to: { model: 'tuned', policy: '32+1xWait' } };
  const of = (more: object) => headline(comparisonReport.parse({ ...rest, runs, differences, ...more })).text;
  const longest = '<div class="figure">82.0%</div><div class="label">accuracy of tuned</div>';

  expect(of({})).toContain(longest);
  expect(of({})).toContain('<div>1xWait: 95% interval');
  const both = of({ runs: [...runs, plain], differences: [...differences, shorter] });
  expect(both).toContain(longest);
  expect(both).toContain('<div>128+1xWait: 95% interval');
  expect(both).toContain('<div>32+1xWait: 95% interval');
  expect(of({ runs: [plain] })).toContain('<div class="detail">without thinking, 200 problems</div>');
});
