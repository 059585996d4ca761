import type { StartWork } from 'simmerkit';
import { comparedBytes } from './compared-text.js';
import { NgramIndex } from './ngram-index.js';
import { type FoundDrops, findDrops } from './sieve.js';
import { scanPassingWords, scanWords } from './words.js';

export interface EvaluationIndex {
  /** Columns of the rows that are compared. */
  readonly columns: readonly string[];
  /** Words in an n-gram. */
  readonly words: number;
  readonly questions: readonly { readonly id: string; readonly text: string }[];
}

/** Of rows whose texts are bytes. */
export const start: StartWork<EvaluationIndex, FoundDrops> = ({ columns, words, questions }) => {
  const index = indexOf(words, questions);
  return (rows) =>
    findDrops(rows, (row) => {
      const match = index.match(scanPassingWords(comparedBytes(row, columns)));
      return match === undefined ? undefined : { rule: 'in_evaluation', evidence: `${match.owner}: ${match.words}` };
    });
};

function indexOf(words: number, questions: EvaluationIndex['questions']): NgramIndex<string> {
  const index = new NgramIndex<string>(words);
  for (const { id, text } of questions) index.add(scanWords(text), id);
  return index;
}
