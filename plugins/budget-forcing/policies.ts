import type { ThinkingPolicy } from 'simmerkit';
import type { AskingOptions } from './options.js';

type Maximum = AskingOptions['sweep']['thinkingTokens'][number];

/**
 * The policies of a sweep, each once: by maximum, ascending (`auto` last), then by how often the end is ignored, then by
 * word. Every maximum is there with nothing ignored, so that each wait has what it is compared with.
 */
export function expandSweep(
  options: Pick<AskingOptions, 'sweep' | 'minThinkingTokens' | 'spendingRule'>,
): readonly ThinkingPolicy[] {
  const { thinkingTokens, ignore, word: words, product } = options.sweep;
  const maxima = [...new Set(thinkingTokens)].sort((one, other) => Math.sign(size(one) - size(other)));
  const ignores = [...new Set(ignore)].filter((count) => count > 0).sort((one, other) => one - other);
  const policies = maxima.flatMap((maximum, index) => {
    const isLargest = index === maxima.length - 1;
    const waits = product || isLargest ? ignores.flatMap((count) => words.map((word) => ({ count, word }))) : [];
    return [{ count: 0, word: words[0] ?? '' }, ...waits].map(({ count, word }) =>
      policy(maximum, count, word, options),
    );
  });
  return [...new Map(policies.map((one) => [one.id, one])).values()];
}

/** What a word is called in the ids of policies. */
export const nameOfWord = (word: string) => word.trim() || 'none';

const size = (maximum: Maximum) => (maximum === 'auto' ? Number.MAX_VALUE : maximum);

function policy(
  maximum: Maximum,
  ignoreEndCount: number,
  word: string,
  options: Pick<AskingOptions, 'minThinkingTokens' | 'spendingRule'>,
): ThinkingPolicy {
  const minimum = options.minThinkingTokens;
  const parts = [
    String(maximum),
    ...(minimum === undefined ? [] : [`min${minimum}`]),
    ...(ignoreEndCount === 0 ? [] : [`${ignoreEndCount}x${nameOfWord(word)}`]),
  ];
  return {
    id: parts.join('+'),
    ...(maximum === 'auto' ? {} : { maxThinkingTokens: maximum }),
    ...(minimum === undefined ? {} : { minThinkingTokens: minimum }),
    ignoreEndCount,
    word,
    spendingRule: options.spendingRule,
  };
}
