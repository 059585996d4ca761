import type { Grader, Row } from 'simmerkit';
import { memoryTable, type runStage } from '../../core/testing/run-stage.js';
import { gradeExactly } from './exact.grader.js';
import { generationColumns } from './grade.stage.js';

export const grader: Grader = { grade: async (items) => items.map((item) => gradeExactly(item, { number: 'whole' })) };

export interface Given {
  readonly policy: string;
  readonly maximum: number;
  readonly ignore?: number;
  readonly tokens: number;
  /** Answers to the problems p0, p1, ...; the gold answer of each is its number. */
  readonly answers: readonly string[];
  /** What stands before the number of the problem in its prompt; absent: the prompts are not known. */
  readonly asked?: string;
  /** How many of them, from the first on, ran into their length limit. */
  readonly cut?: number;
}

export function generations(model: string, given: readonly Given[]) {
  const rows = given.flatMap(({ policy, maximum, ignore = 0, tokens, answers, asked, cut = 0 }) =>
    answers.map(
      (answer, index): Row => ({
        id: `p${index}/${policy}/0`,
        prompt_id: `p${index}`,
        prompt: asked === undefined ? null : asked + index,
        model,
        policy,
        method: 'budget-forcing',
        sample_index: 0,
        max_thinking_tokens: maximum,
        ignore_end_count: ignore,
        word: 'Wait',
        thinking: 'hm',
        answer,
        thinking_tokens: tokens,
        answer_tokens: 3,
        thinking_end: tokens >= maximum ? 'forced' : 'natural',
        finish_reason: index < cut ? 'length' : 'stop',
        context_cut: answer === 'no idea',
        finish_disputed: answer === 'no idea' ? 'finish_reason null after 3 of 9 tokens' : null,
        interventions: Array.from({ length: ignore }, () => ({ kind: 'extended' })),
      }),
    ),
  );
  return memoryTable(generationColumns, rows, 'generations');
}

export const problems = (count: number) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
    Array.from({ length: count }, (_, index) => ({
      id: `p${index}`,
      question: `What is ${index}?`,
      answer: String(index),
    })),
  );

export const right = (count: number, of: number) =>
  Array.from({ length: of }, (_, index) => `Final Answer: ${index < count ? index : index + 1000}`);

export const metrics = (events: Awaited<ReturnType<typeof runStage>>['events']) =>
  new Map(events.flatMap((event) => (event.type === 'metric.measured' ? [[event.data.name, event.data]] : [])));
