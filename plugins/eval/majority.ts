import { type Row, textIn } from 'simmerkit';
import { canonicalNumber, normalizeAnswer } from './exact.grader.js';

/**
 * The first sample with the answer that most gave, as the grader read it: "B" and "(B) 7 J" are one. Of two answers with as
 * many votes it is the one that was given first. What could not be read has no vote; where nothing could, the first sample
 * stands, unparsed.
 */
export function majorityOf(samples: readonly Row[]): Row {
  const votes = new Map<string, { count: number; readonly row: Row }>();
  for (const row of samples) {
    const given = textIn(row, 'parsed') ?? textIn(row, 'extracted');
    if (given === null || textIn(row, 'verdict') === 'unparsed') continue;
    const text = normalizeAnswer(given);
    const key = canonicalNumber(text) ?? text;
    const known = votes.get(key);
    if (known === undefined) votes.set(key, { count: 1, row });
    else known.count++;
  }
  let best: { count: number; readonly row: Row } | undefined;
  for (const one of votes.values()) if (best === undefined || one.count > best.count) best = one;
  return best?.row ?? (samples[0] as Row);
}
