import type { Columns, Message, Row, Sample, ThinkingPolicy } from 'simmerkit';
import type { Point } from './points.js';

/** A question as it is asked. */
export interface Problem {
  readonly id: string;
  readonly question: string;
  /** Messages before the question. */
  readonly history: readonly Message[];
  readonly gold: string | null;
}

/** A sample as the journal keeps it: a server that tells no token ids tells at least how many there were. */
export type KeptSample = Sample & {
  readonly counts?: { readonly thinking: number; readonly answer: number };
  /** What a server said of the end that cannot be true. */
  readonly disputed?: string;
  /** Digest of the question that it answers. */
  readonly of?: string;
  /** Who held the budget, where it was not a trainer: the server's own parameter, or text that was sent back. */
  readonly budgetHeldBy?: 'server' | 'continuation';
};

export const generationColumns: Columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  question: 'VARCHAR',
  prompt: 'VARCHAR',
  gold: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  method: 'VARCHAR',
  sample_index: 'INTEGER',
  max_thinking_tokens: 'INTEGER',
  min_thinking_tokens: 'INTEGER',
  ignore_end_count: 'INTEGER',
  word: 'VARCHAR',
  spending_rule: 'VARCHAR',
  prompt_tokens: 'INTEGER',
  thinking: 'VARCHAR',
  answer: 'VARCHAR',
  thinking_tokens: 'INTEGER',
  answer_tokens: 'INTEGER',
  thinking_end: 'VARCHAR',
  finish_reason: 'VARCHAR',
  finish_disputed: 'VARCHAR',
  context_cut: 'BOOLEAN',
  budget_held_by: 'VARCHAR',
  interventions:
    'STRUCT(kind VARCHAR, position INTEGER, "text" VARCHAR, token_ids INTEGER[], character_offset INTEGER)[]',
  thinking_token_ids: 'INTEGER[]',
  answer_token_ids: 'INTEGER[]',
  shared_thinking_tokens: 'INTEGER',
  seed: 'VARCHAR',
  attempts: 'INTEGER',
  drawn_thinking_tokens: 'INTEGER',
};

/** What rejection sampling says of a row. */
interface Drawing {
  readonly attempts: number;
  readonly drawnThinkingTokens: number;
  readonly fits: boolean;
}

/** A row of the generations. @param prompt the user's message */
export function rowOf(
  problem: Problem,
  { method, policy, limit }: Point,
  sample: KeptSample,
  about: { readonly label: string; readonly prompt: string; readonly drawing?: Drawing },
): Row {
  const { drawing } = about;
  return {
    id: `${problem.id}/${policy.id}/${sample.sampleIndex}`,
    prompt_id: problem.id,
    question: problem.question,
    prompt: about.prompt,
    gold: problem.gold,
    model: about.label,
    policy: policy.id,
    method,
    sample_index: sample.sampleIndex,
    max_thinking_tokens: limit,
    min_thinking_tokens: policy.minThinkingTokens ?? null,
    ignore_end_count: policy.ignoreEndCount,
    word: policy.word,
    spending_rule: policy.spendingRule,
    prompt_tokens: sample.promptTokens,
    thinking: sample.thinking,
    answer: sample.answer,
    thinking_tokens: thinkingTokens(sample),
    answer_tokens: sample.counts?.answer ?? sample.answerTokenIds.length,
    thinking_end: sample.thinkingEnd,
    finish_reason: drawing?.fits === false ? 'rejected' : sample.finishReason,
    finish_disputed: sample.disputed ?? null,
    context_cut: isCutByContext(policy, sample),
    budget_held_by: sample.budgetHeldBy ?? 'trainer',
    interventions: sample.interventions.map(({ kind, position, text, tokenIds, characterOffset }) => ({
      kind,
      position,
      text,
      token_ids: tokenIds,
      character_offset: characterOffset,
    })),
    thinking_token_ids: sample.thinkingTokenIds,
    answer_token_ids: sample.answerTokenIds,
    shared_thinking_tokens: sample.sharedThinkingTokens,
    seed: String(sample.seed),
    attempts: drawing?.attempts ?? null,
    drawn_thinking_tokens: drawing?.drawnThinkingTokens ?? null,
  };
}

/** Whether thinking was ended before its maximum, since the context held no more. */
function isCutByContext(policy: ThinkingPolicy, sample: KeptSample): boolean {
  if (sample.thinkingEnd !== 'forced' || policy.maxThinkingTokens === undefined) return false;
  // What a server says of its end is another matter: it may be disputed, or near its limit.
  if (sample.budgetHeldBy !== undefined) return false;
  const lastWait = sample.interventions.findLast(({ kind }) => kind === 'extended')?.position ?? 0;
  return thinkingTokens(sample) < policy.maxThinkingTokens + (policy.spendingRule === 'perRound' ? lastWait : 0);
}

/** How many tokens were thought, forced words included. */
export function thinkingTokens(sample: KeptSample): number {
  return sample.counts?.thinking ?? sample.thinkingTokenIds.length;
}
