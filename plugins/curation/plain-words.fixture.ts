/** What the fast ways are held against: the rules as one would write them down. */

/** White space as Python's `str.split()` has it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python splits at the separators \x1c to \x1f too
const whiteSpace = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(whiteSpace)
    .filter((word) => word !== '');
}

/** Runs of so many words; the whole text where it has fewer. */
export function shinglesOf(words: readonly string[], length: number): Set<string> {
  const size = Math.min(length, words.length);
  return new Set(size === 0 ? [] : runsOf(words, size));
}

export function runsOf(words: readonly string[], length: number): string[] {
  return words.slice(length - 1).map((_, at) => words.slice(at, at + length).join(' '));
}

export function jaccard(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  const common = [...one].filter((shingle) => other.has(shingle)).length;
  return common / (one.size + other.size - common);
}
