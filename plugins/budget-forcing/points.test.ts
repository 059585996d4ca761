import { describe, expect, it } from 'vitest';
import { askingProblems } from './asking-problems.js';
import { generateOptions } from './options.js';
import { expandPoints, rejectionPoints } from './points.js';

const parsed = (sweep: object, more: object = {}) => generateOptions.parse({ trainer: 'student', sweep, ...more });

describe('the points of a sweep', () => {
  it('ask for a limit in the words of s1, one group for each prompt', () => {
    const groups = expandPoints(
      parsed({
        thinkingTokens: [64],
        tokenConditional: [2048, 1024],
        stepConditional: [16],
        classConditional: ['short'],
      }),
    );
    expect(groups.map(({ instruction, points }) => [instruction, points.map(({ policy }) => policy.id)])).toEqual([
      ['', ['64']],
      ['\n\nThink for up to 1024 tokens.', ['tokens1024']],
      ['\n\nThink for up to 2048 tokens.', ['tokens2048']],
      ['\n\nThink for up to 16 steps.', ['steps16']],
      [
        '\n\nAnswer after a short amount of thinking. Do not spend excessive time double-checking your work.',
        ['short'],
      ],
    ]);
    expect(groups.flatMap(({ points }) => points.map(({ method, limit }) => [method, limit]))).toEqual([
      ['budget-forcing', 64],
      ['token-conditional', 1024],
      ['token-conditional', 2048],
      ['step-conditional', 1600],
      ['class-conditional', null],
    ]);
  });

  it('force a condition as well in the same group, a step counting as 100 tokens', () => {
    const sweep = { thinkingTokens: [], tokenConditional: [512], stepConditional: [4], forceConditional: true };
    const policies = expandPoints(parsed(sweep)).map(({ points }) => points.map(({ policy }) => policy));
    expect(policies.map((group) => group.map(({ id, maxThinkingTokens }) => [id, maxThinkingTokens]))).toEqual([
      [
        ['tokens512', undefined],
        ['tokens512+forced', 512],
      ],
      [
        ['steps4', undefined],
        ['steps4+forced', 400],
      ],
    ]);
  });

  it('of rejection sampling are its limits, ascending and once', () => {
    expect(rejectionPoints(parsed({ rejection: { thinkingTokens: [64, 16, 64] } })).map(({ limit }) => limit)).toEqual([
      16, 64,
    ]);
  });
});

describe('options that contradict themselves', () => {
  it.each([
    ['equal_samples', { rejection: { thinkingTokens: [16] } }, {}],
    ['empty_sweep', { thinkingTokens: [] }, {}],
    ['equal_words', { thinkingTokens: [16], ignore: [1], word: ['Wait', ' Wait'] }, {}],
    ['equal_words', { thinkingTokens: [16], ignore: [1], word: ['', 'none'] }, {}],
    ['ignore_without_maximum', { thinkingTokens: [], ignore: [1], classConditional: ['long'] }, {}],
  ])('are named: %s', (code, sweep, more) => {
    expect(askingProblems(parsed(sweep, more)).map((problem) => problem.code)).toEqual([code]);
  });

  it('are none where rejection has a temperature', () => {
    expect(askingProblems(parsed({ rejection: { thinkingTokens: [16] } }, { sampling: { temperature: 1 } }))).toEqual(
      [],
    );
  });
});
