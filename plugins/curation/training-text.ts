import { type Row, textIn } from 'simmerkit';
import type { FormatOptions } from './options.js';

/** One row to train on. */
export interface TrainingText {
  readonly prompt: readonly { readonly role: string; readonly content: string }[];
  readonly completion: string;
}

/**
 * The text that s1 trains on (data/, tokenization): the question as the user's message, then the trace and the answer
 * behind their markers. Names what is missing where it cannot be written.
 */
export function trainingText(row: Row, options: FormatOptions): TrainingText | { readonly missing: string } {
  const [question, reasoning, answer] = ['question', 'reasoning', 'answer'].map((column) =>
    textIn(row, column)?.trim(),
  );
  if (!question) return { missing: 'question' };
  if (!reasoning) return { missing: 'reasoning' };
  if (!answer) return { missing: 'answer' };
  // Split and joined, not replaced: the texts may hold "$&".
  const content = options.promptTemplate.split('{question}').join(question);
  const filled = options.answerTemplate.split('{answer}').join(answer);
  const hasPrefix = filled.includes(options.answerPrefix.trimEnd());
  return {
    prompt: [
      ...(options.systemMessage === undefined ? [] : [{ role: 'system', content: options.systemMessage }]),
      { role: 'user', content },
    ],
    completion: [
      options.thinkingStart,
      reasoning,
      options.answerStart,
      hasPrefix ? '' : options.answerPrefix,
      filled,
      options.end,
    ].join(''),
  };
}
