/**
 * Whether a name fits a pattern of `*`, any text, and `?`, any one character. Takes at most their lengths multiplied,
 * whatever the pattern, which a regular expression does not.
 */
export function fitsPattern(name: string, pattern: string): boolean {
  const text = [...name];
  const shape = [...pattern];
  let at = 0;
  let next = 0;
  // Only the last `*` need ever take more: what stands before it fits already.
  let lastStar: number | undefined;
  let starEnd = 0;
  while (at < text.length) {
    if (shape[next] === '*') {
      lastStar = next;
      starEnd = at;
      next += 1;
    } else if (next < shape.length && (shape[next] === '?' || shape[next] === text[at])) {
      at += 1;
      next += 1;
    } else if (lastStar !== undefined) {
      starEnd += 1;
      at = starEnd;
      next = lastStar + 1;
    } else {
      return false;
    }
  }
  return shape.slice(next).every((character) => character === '*');
}
