import { memoryTable } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import type { ComparisonReport } from './comparison-report.js';
import type { Trace } from './report-data.js';
import { sampleBrowser } from './sample-browser.js';
import { tracePair } from './trace-view.js';
import { GradedAnswers } from './traces.js';

const trace: Trace = {
  model: 'tuned',
  policy: 'none',
  method: 'none',
  maxThinkingTokens: null,
  ignore: 0,
  thinking: '',
  answer: 'It is 4.',
  thinkingTokens: 0,
  thinkingEnd: 'none',
  verdict: 'right',
  extracted: '4',
  interventions: [],
};

const report = { models: { untuned: [], tuned: ['tuned'] } } as unknown as ComparisonReport;

const shown = (...traces: readonly Trace[]) => {
  const samples = traces.map((one) => ({ trace: one, changedFrom: undefined }));
  return sampleBrowser({ problems: [{ id: 'a', question: '2 + 2?', gold: '4', samples }], problemsInAll: 1 }).text;
};

it('says nothing of forcing where no sample was to think', () => {
  expect(shown(trace)).toContain('The first sample of each problem under each policy.');
  expect(shown(trace)).not.toMatch(/forc|thinking tokens/);
  const forced = shown(trace, { ...trace, method: 'budget-forcing', policy: '64', thinkingTokens: 12 });
  expect(forced).toContain('wrong to right by forcing');
  expect(forced).toContain('"thought":", 12 thinking tokens"');
});

it('shows no gold answer where nobody knows one', async () => {
  const row = { prompt_id: 'a', question: 'Who?', gold: null, model: 'tuned', policy: 'none', sample_index: 0 };
  const answers = new GradedAnswers();
  await answers.add(memoryTable(Object.fromEntries(Object.keys(row).map((name) => [name, 'VARCHAR'])), [row]));
  const [sample] = answers.firstSamples();
  expect(sample?.gold).toBeNull();
  const pair = (gold: string | null) =>
    tracePair({ why: 'Right', question: 'Who?', gold, before: trace, after: trace }, report).text;
  expect(pair('4')).toContain('Who? <span class="soft">(4)</span>');
  expect(pair(null)).toContain('<p class="question">Who?</p>');
});
