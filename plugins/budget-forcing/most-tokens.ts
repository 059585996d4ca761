import type { AskingOptions } from './options.js';
import { expandPoints } from './points.js';

/** Thinking where a maximum is `auto`: the context of most models that think. */
const contextTokens = 32_768;

/** Of prompts, beside which answers are long. */
const promptTokens = 512;

/** The most tokens that are decoded for one problem: maxima share their thinking, each wait and condition has its own. */
export function mostTokens(options: AskingOptions) {
  const { samples, maxAnswerTokens } = options.sampling;
  if (options.thinkingFormat === 'none') {
    return { tokensPerPrompt: samples * maxAnswerTokens, longestSequence: promptTokens + maxAnswerTokens };
  }
  const points = expandPoints(options).flatMap((group) => group.points);
  const maxima = options.sweep.thinkingTokens.map((maximum) => (maximum === 'auto' ? contextTokens : maximum));
  const longest = Math.max(0, ...maxima);
  const apart = points.filter(({ method, policy }) => method !== 'budget-forcing' || policy.ignoreEndCount > 0);
  return {
    tokensPerPrompt: samples * ((1 + apart.length) * longest + points.length * maxAnswerTokens),
    longestSequence: Math.min(contextTokens, promptTokens + longest + maxAnswerTokens),
  };
}
