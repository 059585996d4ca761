/** A point of the s1 paper's figures on AIME24, which has 30 problems. */
export interface PublishedPoint {
  readonly method: string;
  readonly meanThinkingTokens: number;
  /** Problems of 30 that were answered rightly; the paper prints k/30 in percent. */
  readonly right: number;
}

const series = (method: string, tokens: readonly number[], right: readonly number[]): PublishedPoint[] =>
  tokens.map((meanThinkingTokens, index) => ({ method, meanThinkingTokens, right: right[index] ?? 0 }));

/** s1-32B on AIME24: Tables 12 to 14 of "s1: Simple test-time scaling" (arXiv 2501.19393v3). */
export const publishedS1: readonly PublishedPoint[] = [
  ...series('token-conditional', [7939, 7158, 8263, 7108, 7500], [8, 9, 10, 10, 12]),
  ...series('token-conditional+forced', [1024, 2048, 4031, 5664, 6330], [1, 9, 10, 10, 12]),
  ...series('step-conditional', [7252, 6277, 5396, 5552, 7551], [10, 7, 10, 11, 10]),
  ...series('step-conditional+forced', [1517, 2963, 4636, 5409, 7551], [7, 7, 10, 11, 10]),
  ...series('class-conditional', [8033, 9651], [9, 11]),
  ...series('none', [6109], [15]),
];

export const publishedProblems = 30;
