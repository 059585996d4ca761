import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import { diffLines } from './eval-diff.js';
import { historyLines } from './explain.js';

const colors = picocolors.createColors(false);
const evil = '\u001b[2Ja\u009b31m';

it('shows no escape sequence of a row to the terminal, and no half of a character', () => {
  const decisions = [{ kept: false, rule: `rule${evil}`, evidence: `${'e'.repeat(198)}😀😀` }];
  const step = {
    stage: 'clean',
    uses: 'mine/clean',
    outcome: 'dropped',
    decisions,
    attempts: [{ model: evil, policy: 'none', sample: 0, verdict: 'right', extracted: '4' }],
    outputs: [],
  } as const;
  const history = { runId: 'r', id: 'a', question: evil, source: evil, steps: [step], stagesLeft: [] };
  const reason = `rule [2Ja 31m: ${'e'.repeat(198)}…`;
  expect(historyLines(history, colors)).toEqual([
    'a from [2Ja 31m',
    '  [2Ja 31m',
    '',
    '  clean  mine/clean  graded   [2Ja 31m: right in 1 of 1: 4 (right)',
    `                     dropped  ${reason}`,
    '',
    `Dropped by clean, ${reason}.`,
  ]);
});

it('breaks no word of a narrow terminal', () => {
  const decisions = [{ kept: false, rule: 'in_evaluation', evidence: 'bought stamps at the post office' }];
  const step = {
    stage: 'clean',
    uses: 'mine/clean',
    outcome: 'dropped',
    decisions,
    attempts: [],
    outputs: [],
  } as const;
  const question = 'Bella bought stamps at the post office. How many?';
  const history = { runId: 'r', id: 'a', question, source: null, steps: [step], stagesLeft: [] };
  expect(historyLines(history, colors, 50)).toEqual([
    'a',
    '  Bella bought stamps at the post office. How',
    '    many?',
    '',
    '  clean  mine/clean  dropped  in_evaluation:',
    '                              bought stamps at the',
    '                              post office',
    '',
    'Dropped by clean, in_evaluation: bought stamps',
    '  at the post office.',
  ]);
});

it('shows none of an answer that was read', () => {
  const before = { verdict: 'right', extracted: evil, answer: null };
  const after = { verdict: 'wrong', extracted: `${'4'.repeat(38)}😀😀`, answer: null };
  const changed = [{ promptId: 'p', sample: 0, question: null, gold: null, before, after }];
  const counts = { items: 1, onlyBefore: 0, onlyAfter: 0, rightToWrong: 1, wrongToRight: 0 };
  const [, line] = diffLines([{ model: 'm', policy: 'none', ...counts, changed }], 1, colors);
  expect(line).toBe(`  p  right  →  wrong  [2Ja 31m → ${'4'.repeat(38)}…`);
});
