const pair = /[\ud800-\udbff][\udc00-\udfff]/g;

/**
 * How many characters a text has: code points, not units of UTF-16. Makes nothing of them, since a text may be long, and
 * takes next to no time where all are one unit.
 */
export function characterCount(text: string): number {
  let count = text.length;
  // Behind the last pair it is false, and begins anew.
  while (pair.test(text)) count--;
  return count;
}
