import type { StartWork } from 'simmerkit';
import { comparedBytes } from './compared-text.js';
import { NgramIndex } from './ngram-index.js';
import { scanPassingWords, scanWords } from './words.js';

export interface EvaluationIndex {
  /** Columns that are compared. */
  readonly columns: readonly string[];
  /** Words in an n-gram. */
  readonly words: number;
  readonly questions: readonly { readonly id: string; readonly text: string }[];
}

/** What rows of a batch share with the evaluation. */
export interface Contamination {
  /** Rows in the batch. */
  readonly count: number;
  readonly found: readonly { readonly at: number; readonly evidence: string }[];
}

/** Of rows whose texts are bytes. */
export const start: StartWork<EvaluationIndex, Contamination> = ({ columns, words, questions }) => {
  const index = indexOf(words, questions);
  return (rows) => {
    const found = rows.flatMap((row, at) => {
      const match = index.match(scanPassingWords(comparedBytes(row, columns)));
      return match === undefined ? [] : [{ at, evidence: `${match.owner}: ${match.words}` }];
    });
    return { count: rows.length, found };
  };
};

function indexOf(words: number, questions: EvaluationIndex['questions']): NgramIndex<string> {
  const index = new NgramIndex<string>(words);
  for (const { id, text } of questions) index.add(scanWords(text), id);
  return index;
}
