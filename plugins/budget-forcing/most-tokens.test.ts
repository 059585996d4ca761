import { describe, expect, it } from 'vitest';
import { mostTokens, samplesOf, serverEstimate } from './most-tokens.js';
import { endpointOptions } from './options.js';

const price = { inputPerMillion: 0, outputPerMillion: 1 };
const optionsOf = (given: object) => endpointOptions.parse({ url: 'http://localhost/v1', model: 'm', price, ...given });

describe('what a server is asked at most', () => {
  const figuresOf = (given: object, problems: number | undefined = 10) => {
    const options = optionsOf({ sampling: { maxAnswerTokens: 100 }, ...given });
    return serverEstimate(options, options, problems);
  };

  it('is the thinking of the largest maximum once by continuation, and each by itself where the server holds it', () => {
    const sweep = { thinkingTokens: [1000, 3000] };
    const continued = figuresOf({ sweep, budgets: 'continuation' });
    expect(continued.figures).toMatchObject({ requests: 40, outputTokens: 10 * (3000 + 200) });
    // Thinking and answer of each are sent with what was thought before.
    expect(continued.figures?.inputTokens).toBe(10 * 2 * (512 + 1000 + 512 + 3000));
    expect(continued.usd).toBeCloseTo((10 * 3200) / 1e6);
    expect(figuresOf({ sweep }).figures?.outputTokens).toBe(10 * (1000 + 3000 + 200));
  });

  it('grows with each wait, whose rounds send all that was thought', () => {
    const sweep = { thinkingTokens: ['auto'], ignore: [0, 2] };
    const { figures } = figuresOf({ sweep, longestThinking: 2000 });
    expect(figures).toMatchObject({ requests: 10 * (2 + 4), outputTokens: 10 * (2 * 2000 + 200) });
  });

  it('has a draw of rejection sampling as often as it may be made', () => {
    const sweep = { thinkingTokens: [], rejection: { thinkingTokens: [500, 1000], attempts: 4 } };
    const given = { sweep, sampling: { maxAnswerTokens: 100, temperature: 1 } };
    expect(figuresOf(given).figures).toMatchObject({ requests: 10 * 4 * 2, outputTokens: 10 * 4 * 1100 });
    expect(mostTokens(optionsOf(given))).toEqual({ tokensPerPrompt: 4400, longestSequence: 512 + 1100 });
    expect(samplesOf(optionsOf(given))).toBe(2);
  });

  it('is one answer a sample without thinking, and unknown without the problems', () => {
    const given = { thinkingFormat: 'none', sampling: { maxAnswerTokens: 100, samples: 3, temperature: 1 } };
    expect(figuresOf(given).figures).toMatchObject({ requests: 30, inputTokens: 30 * 512, outputTokens: 3000 });
    expect(serverEstimate(optionsOf(given), optionsOf(given), undefined).figures).toBeUndefined();
    expect(samplesOf(optionsOf(given))).toBe(3);
  });
});
