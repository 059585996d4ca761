import type { StartTextWork } from './compared-text.js';
import { NgramIndex } from './ngram-index.js';
import { scanWords } from './words.js';

export interface EvaluationIndex {
  /** Words in an n-gram. */
  readonly words: number;
  readonly questions: readonly { readonly id: string; readonly text: string }[];
}

/** What texts of a batch share with the evaluation. */
export interface Contamination {
  /** Texts in the batch. */
  readonly count: number;
  readonly found: readonly { readonly at: number; readonly evidence: string }[];
}

export const start: StartTextWork<EvaluationIndex, Contamination> = ({ words, questions }) => {
  const index = indexOf(words, questions);
  return (texts) => {
    const found = texts.flatMap((text, at) => {
      const match = index.match(scanWords(text));
      return match === undefined ? [] : [{ at, evidence: `${match.owner}: ${match.words}` }];
    });
    return { count: texts.length, found };
  };
};

function indexOf(words: number, questions: EvaluationIndex['questions']): NgramIndex<string> {
  const index = new NgramIndex<string>(words);
  for (const { id, text } of questions) index.add(scanWords(text), id);
  return index;
}
