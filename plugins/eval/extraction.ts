import { finalAnswer, matchInTime } from 'simmerkit';
import type { Extraction } from './options.js';

/** Finds the final answer in an answer's text; null where there is none. */
type Extract = (answer: string) => string | null;

/** The extraction that options ask for. @throws SyntaxError for a pattern that is no regular expression */
export function extractor(extraction: Extraction, answerDelimiter: string): Extract {
  if (extraction === 's1') return (answer) => finalAnswer(answer, answerDelimiter);
  if (extraction === 'whole') return (answer) => presence(answer);
  const expression = new RegExp(extraction.pattern, [...new Set(`g${extraction.flags}`)].join(''));
  return (answer) => {
    const match = matchInTime(expression, answer, () => [...answer.matchAll(expression)].at(-1));
    return match === undefined ? null : presence(match[1] ?? match[0]);
  };
}

function presence(text: string): string | null {
  const trimmed = text.trim();
  return trimmed === '' ? null : trimmed;
}
