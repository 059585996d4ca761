import type { KeptReply, Message, StageContext } from 'simmerkit';

/** Something to ask a model. */
export interface Question {
  /** Of this question in its stage: a reply is kept under it. */
  readonly id: string;
  readonly messages: readonly Message[];
}

/** How tokens are drawn. */
export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  /** Longest reply, in tokens. */
  readonly maxTokens: number;
  /** Absent: a server draws as it likes, and a trainer from seed 0. */
  readonly seed?: number;
}

/** What a model said to a question. */
export interface Reply {
  /** The question's. */
  readonly id: string;
  /** Without what marks it; empty where there is none. */
  readonly reasoning: string;
  readonly answer: string;
  /** `stop`, `length` where it was cut, `refused` where the server or its model declined, or what else a server says. */
  readonly finish: string;
  /** Why it was refused. */
  readonly refusal: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly dollars: number;
}

/** The reply to a question that is not taken, and costs nothing. */
export function refused(id: string, reason: string): Reply {
  const free = { inputTokens: 0, outputTokens: 0, dollars: 0 };
  return { id, reasoning: '', answer: '', finish: 'refused', refusal: reason, ...free };
}

/** A reply as it is kept. */
export type KeptAnswer = Reply & KeptReply;

/** A model that answers questions. */
export interface Answerer {
  /**
   * Asks every question and hands each reply to `keep` as it comes, in any order; `keep` is awaited before another
   * question takes its place. The first failure ends it.
   * @throws UserError, or the signal's reason
   */
  answer(
    questions: AsyncIterable<Question>,
    sampling: Sampling,
    keep: (reply: Reply) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** Of a stage that asks models. */
export type AskingContext = Pick<
  StageContext<unknown, Record<string, never>>,
  'stage' | 'seed' | 'signal' | 'emit' | 'log' | 'artifacts' | 'scratchFolder' | 'keptFolder' | 'spending' | 'trainer'
>;

/** Thinking that a server sends apart, or that stands before `</think>` in the text. */
export function thinkingIn(content: string, reasoning = ''): { readonly reasoning: string; readonly answer: string } {
  if (reasoning.trim() !== '') return { reasoning: reasoning.trim(), answer: content.trim() };
  const end = content.indexOf('</think>');
  if (end === -1) {
    const isBegun = /^\s*<think>/.test(content);
    return { reasoning: isBegun ? content.replace('<think>', '').trim() : '', answer: isBegun ? '' : content.trim() };
  }
  const before = content.slice(0, end).replace('<think>', '');
  return { reasoning: before.trim(), answer: content.slice(end + '</think>'.length).trim() };
}
