import type { ThinkingPolicy } from 'simmerkit';
import type { AskingOptions } from './options.js';
import { expandSweep } from './policies.js';

/** A limit that is only asked for, in the prompt. */
type Conditional = 'token-conditional' | 'step-conditional' | 'class-conditional';

/** How a point of the sweep holds thinking to its limit; `+forced`: asked for, and forced where it is not kept. */
type Method = 'none' | 'budget-forcing' | Conditional | `${Conditional}+forced` | 'rejection';

/** One point of the sweep: every problem is answered under each. */
export interface Point {
  readonly method: Method;
  readonly policy: ThinkingPolicy;
  /** The limit in tokens that s1's Control is measured against, forced or only asked for. Null: none. */
  readonly limit: number | null;
}

/** Points with the same prompts: a backend answers them in one request and decodes once what they share. */
export interface PointGroup {
  /** Stands behind the question. */
  readonly instruction: string;
  readonly points: readonly Point[];
}

/** s1 counts a step as so many tokens (paper, Table 13). */
const tokensPerStep = 100;

/** The wordings of s1's evaluation fork (PROMPTTOKEN, PROMPTSTEP, PROMPTSHORT and PROMPTLONG of its tasks). */
const instructions = {
  tokens: (count: number) => `\n\nThink for up to ${count} tokens.`,
  steps: (count: number) => `\n\nThink for up to ${count} steps.`,
  short: '\n\nAnswer after a short amount of thinking. Do not spend excessive time double-checking your work.',
  long:
    '\n\nAnswer after a long amount of thinking. If you feel like you are finished early, spend the extra time trying ' +
    'to double-check your work until you are absolutely sure that you have the correct answer.',
};

/** Without a thinking format there is one point, and it forces nothing. */
export const withoutThinking: Point = {
  method: 'none',
  policy: { id: 'none', ignoreEndCount: 0, word: '', spendingRule: 'total' },
  limit: null,
};

/** All points of a sweep but those of rejection sampling, which have no request of their own; each once. */
export function expandPoints(
  options: Pick<AskingOptions, 'sweep' | 'minThinkingTokens' | 'spendingRule'>,
): PointGroup[] {
  const { sweep } = options;
  const forced = sweep.thinkingTokens.length === 0 ? [] : expandSweep(options);
  const plain: PointGroup = {
    instruction: '',
    points: forced.map((policy) => ({ method: 'budget-forcing', policy, limit: policy.maxThinkingTokens ?? null })),
  };
  const conditional = (method: Conditional, id: string, instruction: string, limit: number | null): PointGroup => ({
    instruction,
    points: [
      { method, policy: { ...withoutThinking.policy, id }, limit },
      ...(sweep.forceConditional && limit !== null
        ? [
            {
              method: `${method}+forced` as const,
              policy: { ...withoutThinking.policy, id: `${id}+forced`, maxThinkingTokens: limit },
              limit,
            },
          ]
        : []),
    ],
  });
  const groups = [
    plain,
    ...ascending(sweep.tokenConditional).map((count) =>
      conditional('token-conditional', `tokens${count}`, instructions.tokens(count), count),
    ),
    ...ascending(sweep.stepConditional).map((count) =>
      conditional('step-conditional', `steps${count}`, instructions.steps(count), count * tokensPerStep),
    ),
    ...[...new Set(sweep.classConditional)].map((name) =>
      conditional('class-conditional', name, instructions[name], null),
    ),
  ];
  return groups.filter(({ points }) => points.length > 0);
}

/** The points of rejection sampling, by limit, ascending. */
export function rejectionPoints({ sweep }: Pick<AskingOptions, 'sweep'>): Point[] {
  return ascending(sweep.rejection?.thinkingTokens ?? []).map((limit) => ({
    method: 'rejection',
    policy: { ...withoutThinking.policy, id: `reject${limit}`, maxThinkingTokens: limit },
    limit,
  }));
}

function ascending(counts: readonly number[]): number[] {
  return [...new Set(counts)].sort((one, other) => one - other);
}
