/**
 * The name that was probably meant: the one with the smallest edit distance (a swap of neighbours counts once), if that
 * is at most a third of the longer name. Ties go to the first.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    if (candidate === name) continue;
    const limit = Math.max(1, Math.floor(Math.max(name.length, candidate.length) / 3));
    if (Math.abs(name.length - candidate.length) > limit) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= limit && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `Did you mean "x"?`, or the list of what there is, or undefined where there is nothing. */
export function suggestion(name: string, candidates: Iterable<string>): string | undefined {
  const names = [...candidates];
  const begun = begunBy(name, names);
  if (begun.length > 0) return `Did you mean ${begun.map((one) => `"${one}"`).join(' or ')}?`;
  const nearest = nearestName(name, names);
  if (nearest !== undefined) return `Did you mean "${nearest}"?`;
  const longer = withWordsOf(name, names);
  if (longer.length > 0) return `Did you mean ${longer.map((one) => `"${one}"`).join(' or ')}?`;
  if (names.length === 0) return undefined;
  const shown = names.slice(0, 12).join(', ');
  return `There is: ${shown}${names.length > 12 ? `, and ${names.length - 12} more` : ''}.`;
}

/**
 * Names of which the name is the first words, as `a100` is of `a100-80gb`, where they are few enough to be named. Part of a
 * word may as well be another word misspelled.
 */
function begunBy(name: string, candidates: readonly string[]): readonly string[] {
  const start = name.toLowerCase();
  const begun = candidates.filter(
    (one) => one.toLowerCase().startsWith(start) && /^[-_./]/.test(one.slice(name.length)),
  );
  return name !== '' && begun.length <= 3 ? begun : [];
}

/** Names that say the words of the name in their order, and more: `evaluateEverySteps` those of another tool's `eval_steps`. */
function withWordsOf(name: string, candidates: readonly string[]): readonly string[] {
  const words = wordsOf(name);
  if (words.length < 2) return [];
  const longer = candidates.filter((candidate) => {
    let said = 0;
    for (const word of wordsOf(candidate)) if (isSameWord(words[said], word)) said++;
    return said === words.length;
  });
  return longer.length <= 3 ? longer : [];
}

/** Of camelCase, snake_case and names with hyphens. */
function wordsOf(name: string): readonly string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
}

/** One may be the other cut short, to three letters at least. */
function isSameWord(one: string | undefined, other: string): boolean {
  if (one === undefined || Math.min(one.length, other.length) < 3) return one === other;
  return one.startsWith(other) || other.startsWith(one);
}

/** Optimal string alignment distance. */
function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const changed = left[row - 1] === right[column - 1] ? 0 : 1;
      let cost = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + changed);
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, beforePrevious[column - 2]! + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[right.length]!;
}
