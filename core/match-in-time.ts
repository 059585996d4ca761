import { UserError } from './errors.js';
import { inTime } from './in-time.js';

/**
 * Matches a pattern that a recipe has, for one second at most: one such as `(a+)+$` tries more ways to divide a text than
 * anybody can wait for, and nothing else is done meanwhile. Takes a tenth of a millisecond by itself: for texts by the
 * thousand, not by the million, which belong in threads (`workInThreads`).
 * @param match with nothing in it but the matching @throws UserError `pattern_too_slow`
 */
export function matchInTime<T>(expression: RegExp, text: string, match: () => T): T {
  return inTime(
    match,
    () =>
      new UserError(
        'pattern_too_slow',
        `The pattern ${expression} takes more than a second for a text of ${text.length} characters: ` +
          `${JSON.stringify(text.slice(0, 80))}.`,
        { kind: 'runFailed', hint: 'Write it without a repetition inside of a repetition, such as (a+)+.' },
      ),
  );
}
