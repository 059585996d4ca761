import type { AskingOptions } from './options.js';
import { nameOfWord } from './policies.js';

/** What contradicts itself in the options of either backend. */
export function askingProblems({ sampling, sweep, thinkingFormat }: AskingOptions) {
  const problem = (path: string, code: string, message: string, hint: string) => ({ path, code, message, hint });
  const isGreedy = sampling.temperature === 0;
  const groups = sweep.thinkingTokens.length + sweep.tokenConditional.length + sweep.stepConditional.length;
  const isEmpty = groups + sweep.classConditional.length === 0 && sweep.rejection === undefined;
  const sameName = wordsOfOneName(sweep.word);
  return [
    ...(sampling.samples > 1 && isGreedy
      ? [
          problem(
            'sampling.samples',
            'equal_samples',
            `${sampling.samples} samples at temperature 0 would all be the same.`,
            'Set sampling.temperature above 0, or samples to 1.',
          ),
        ]
      : []),
    ...(sweep.rejection !== undefined && isGreedy
      ? [
          problem(
            'sweep.rejection',
            'equal_samples',
            'Rejection sampling at temperature 0 would draw the same again and again.',
            'Set sampling.temperature above 0 (s1: 1), or leave rejection out.',
          ),
        ]
      : []),
    ...(isEmpty && thinkingFormat !== 'none'
      ? [problem('sweep', 'empty_sweep', 'The sweep has no point.', 'Name at least one maximum or baseline.')]
      : []),
    ...(sameName === undefined
      ? []
      : [
          problem(
            'sweep.word',
            'equal_words',
            `${sameName.map((word) => JSON.stringify(word)).join(' and ')} would both be called ${nameOfWord(sameName[0])} in the results.`,
            'Leave one of them out, or try it in a stage of its own with another `label`.',
          ),
        ]),
    ...(sweep.thinkingTokens.length === 0 && sweep.ignore.some((count) => count > 0)
      ? [
          problem(
            'sweep.ignore',
            'ignore_without_maximum',
            'The end of thinking is ignored at a maximum, and thinkingTokens is empty.',
            'Name a maximum, or `auto`.',
          ),
        ]
      : []),
  ];
}

function wordsOfOneName(words: readonly string[]): readonly [string, string] | undefined {
  for (const [index, word] of words.entries()) {
    const earlier = words.slice(0, index).find((other) => other !== word && nameOfWord(other) === nameOfWord(word));
    if (earlier !== undefined) return [earlier, word];
  }
  return undefined;
}
