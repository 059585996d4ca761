import { createContext, Script } from 'node:vm';
import { UserError } from './errors.js';

const milliseconds = 1000;
const place = createContext({ match: undefined as (() => unknown) | undefined });
const script = new Script('match()');

/**
 * Matches a pattern that a recipe has, for one second at most: one such as `(a+)+$` tries more ways to divide a text than
 * anybody can wait for, and nothing else is done meanwhile. Takes a tenth of a millisecond by itself: for texts by the
 * thousand, not by the million, which belong in threads (`workInThreads`).
 * @param match with nothing in it but the matching @throws UserError `pattern_too_slow`
 */
export function matchInTime<T>(expression: RegExp, text: string, match: () => T): T {
  place.match = match;
  try {
    return script.runInContext(place, { timeout: milliseconds }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new UserError(
      'pattern_too_slow',
      `The pattern ${expression} takes more than a second for a text of ${text.length} characters: ` +
        `${JSON.stringify(text.slice(0, 80))}.`,
      { kind: 'runFailed', hint: 'Write it without a repetition inside of a repetition, such as (a+)+.' },
    );
  } finally {
    place.match = undefined;
  }
}
