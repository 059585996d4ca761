import { describe, expect, it } from 'vitest';
import { generateOptions } from './options.js';
import { expandSweep } from './policies.js';

const policiesOf = (options: object) => expandSweep(generateOptions.parse({ trainer: 'student', ...options }));
const idsOf = (sweep: object) => policiesOf({ sweep }).map((policy) => policy.id);

describe('a sweep', () => {
  it('tries each maximum, and each wait at the largest', () => {
    const sweep = { thinkingTokens: [512, 128], ignore: [0, 1, 2] };
    expect(idsOf(sweep)).toEqual(['128', '512', '512+1xWait', '512+2xWait']);
  });

  it('tries each wait everywhere where the whole grid is asked for', () => {
    const sweep = { thinkingTokens: [128, 512], ignore: [1], product: true };
    expect(idsOf(sweep)).toEqual(['128', '128+1xWait', '512', '512+1xWait']);
  });

  it('takes auto for the largest maximum, without a limit', () => {
    const policies = policiesOf({ sweep: { thinkingTokens: ['auto', 500], ignore: [2], word: ['Wait', 'Hmm', ''] } });
    expect(policies.map((policy) => [policy.id, policy.maxThinkingTokens])).toEqual([
      ['500', 500],
      ['auto', undefined],
      ['auto+2xWait', undefined],
      ['auto+2xHmm', undefined],
      ['auto+2xnone', undefined],
    ]);
  });

  it('names a minimum, and has each policy once', () => {
    expect(policiesOf({ sweep: { thinkingTokens: [64, 64] }, minThinkingTokens: 32 })).toEqual([
      {
        id: '64+min32',
        maxThinkingTokens: 64,
        minThinkingTokens: 32,
        ignoreEndCount: 0,
        word: 'Wait',
        spendingRule: 'total',
      },
    ]);
  });
});
