import { startOf } from 'simmerkit';
import type { Drop } from './sieve.js';

/**
 * Judges how much of a text says again what it said: the share of its runs of `words` words that occurred before in it.
 * @param maximumShare a larger share drops the text
 */
export function judgeRepetition(
  text: string,
  { words, maximumShare }: { readonly words: number; readonly maximumShare: number },
): Drop | undefined {
  const all = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const total = all.length - words + 1;
  if (total < 2) return undefined;
  const counts = new Map<string, number>();
  let repeated = 0;
  let worst = '';
  for (let at = 0; at < total; at++) {
    const run = all.slice(at, at + words).join(' ');
    const count = (counts.get(run) ?? 0) + 1;
    counts.set(run, count);
    if (count === 1) continue;
    repeated++;
    if (count > (counts.get(worst) ?? 0) || worst === '') worst = run;
  }
  const share = repeated / total;
  if (share <= maximumShare) return undefined;
  return {
    rule: 'repetition',
    evidence: `${(100 * share).toFixed(0)}% of its runs of ${words} words came before; ${counts.get(worst)} times "${startOf(worst, 120)}"`,
  };
}
