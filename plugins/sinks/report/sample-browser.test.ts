import { expect, it } from 'vitest';
import type { Trace } from './report-data.js';
import { sampleBrowser } from './sample-browser.js';

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
