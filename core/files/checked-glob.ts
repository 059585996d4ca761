import { UserError } from '../errors.js';

/** In how many ways a `*` counts as able to fit. On the longest name, of 255 letters, four take 0.2 s and five 12 s. */
const waysOfStar = 64;
const mostWays = waysOfStar ** 4;

/**
 * A glob as it is given to tinyglobby, which makes a regular expression of it: stars in a row are one, and what would be an
 * operator to it and is none of ours stands for itself.
 *
 * @throws UserError `invalid_glob` where matching one name could take for ever
 */
export function checkedGlob(glob: string): string {
  const plain = glob.replace(
    // A whole name of two stars, also as one of several in braces, means any folders.
    /\\.|(?<=[^/,{}*\\])\*{2,}|\*{2,}(?=[^/,{}*])|[()|+]/g,
    (found) => (found.startsWith('\\') ? found : found.startsWith('*') ? '*' : `\\${found}`),
  );
  if (mostWaysIn(plain) <= mostWays) return plain;
  throw new UserError('invalid_glob', `The glob ${glob} can fit one name in too many ways.`, {
    hint: 'Use at most four `*` in the name of a file or folder, and fewer beside alternatives in {}.',
  });
}

/** The product of what each `*` and each choice in braces can be, for the name, between slashes, with the most. */
function mostWaysIn(glob: string): number {
  let most = 1;
  let ways = 1;
  const choices: number[] = [];
  for (const [part] of glob.matchAll(/\\.|\*+|[^*]/gs)) {
    if (part.startsWith('*')) ways *= waysOfStar;
    else if (part === '{') choices.push(1);
    else if (part === ',' && choices.length > 0) choices.push(choices.pop()! + 1);
    else if (part === '}') ways *= choices.pop() ?? 1;
    // Within braces a name goes on for all that is known.
    else if (part === '/' && choices.length === 0) ways = 1;
    most = Math.max(most, ways);
  }
  return most;
}
