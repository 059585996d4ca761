import { endpointEstimate, type PaidEstimate } from 'simmerkit';
import type { AskingOptions, ServerOptions } from './options.js';
import { expandPoints, type Point, rejectionPoints } from './points.js';

/** Thinking where a maximum is `auto`: the context of most models that think. */
const contextTokens = 32_768;

/** Of prompts, beside which answers are long. */
const promptTokens = 512;

/** Samples for each problem. */
export function samplesOf(options: AskingOptions): number {
  const points = options.thinkingFormat === 'none' ? 1 : pointsOf(options).length + rejectionPoints(options).length;
  return points * options.sampling.samples;
}

/** The most tokens that are decoded for one problem: maxima share their thinking, each wait, condition and draw has its own. */
export function mostTokens(options: AskingOptions, auto = contextTokens) {
  const { samples, maxAnswerTokens } = options.sampling;
  if (options.thinkingFormat === 'none') {
    return { tokensPerPrompt: samples * maxAnswerTokens, longestSequence: promptTokens + maxAnswerTokens };
  }
  const points = pointsOf(options);
  const maxima = options.sweep.thinkingTokens.map((maximum) => (maximum === 'auto' ? auto : maximum));
  const longest = Math.max(0, ...maxima);
  const { draws, limit } = drawsOf(options);
  const forced = (1 + points.filter(isApart).length) * longest + points.length * maxAnswerTokens;
  return {
    tokensPerPrompt: samples * (forced + draws * (limit + maxAnswerTokens)),
    longestSequence: Math.min(contextTokens, promptTokens + Math.max(longest, limit) + maxAnswerTokens),
  };
}

/**
 * What a server is asked at most. By continuation each request sends all that was thought before; a server that holds
 * budgets by itself decodes each maximum from its beginning.
 * @param problems no whole number where some of their samples are there already
 */
export function serverEstimate(
  server: ServerOptions,
  options: AskingOptions,
  problems: number | undefined,
): PaidEstimate {
  const { samples, maxAnswerTokens } = options.sampling;
  const limits = (options.thinkingFormat === 'none' ? [] : pointsOf(options)).map((point) => ({
    limit: point.limit ?? server.longestThinking,
    // Thinking with its waits, and the answer.
    requests: point.policy.ignoreEndCount + 2,
    isApart: isApart(point),
  }));
  const { draws, limit: drawn } = drawsOf(options);
  limits.push(...Array.from({ length: draws }, () => ({ limit: drawn, requests: 2, isApart: true })));
  const { tokensPerPrompt } = mostTokens(options, server.longestThinking);
  const mayHold = server.budgets !== 'continuation' && limits.every(({ isApart }) => !isApart);
  const eachApart = samples * limits.reduce((sum, { limit }) => sum + limit + maxAnswerTokens, 0);
  const sent = limits.reduce((sum, { limit, requests }) => sum + requests * (promptTokens + limit), 0);
  const requests = Math.max(
    1,
    limits.reduce((sum, each) => sum + each.requests, 0),
  );
  const all = problems === undefined ? undefined : Math.ceil(problems * samples * requests);
  return endpointEstimate({
    ...server,
    requests: all,
    inputTokens: Math.max(promptTokens, sent / requests),
    outputTokens: Math.max(tokensPerPrompt, mayHold ? eachApart : 0) / samples / requests,
  });
}

function pointsOf(options: AskingOptions): readonly Point[] {
  return expandPoints(options).flatMap((group) => group.points);
}

/** How often rejection sampling draws for a problem and sample at most, and how far a draw may think. */
function drawsOf({ sweep, thinkingFormat }: AskingOptions): { readonly draws: number; readonly limit: number } {
  if (sweep.rejection === undefined || thinkingFormat === 'none') return { draws: 0, limit: 0 };
  return { draws: sweep.rejection.attempts, limit: Math.max(...sweep.rejection.thinkingTokens) };
}

function isApart({ method, policy }: Point): boolean {
  return method !== 'budget-forcing' || policy.ignoreEndCount > 0;
}
