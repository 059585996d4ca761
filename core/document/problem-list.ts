import { type Problem, secretInRecipe } from '../errors.js';
import { present } from '../present.js';
import { startOf } from '../shortened-text.js';
import type { DataDocument } from './document.js';
import { nearestName, suggestion } from './nearest-name.js';
import { formatPath, type Path, pathKey, valueAt } from './path.js';

/** In UTF-16 units: a text or a list of names that is quoted may be of any length, and thousands of problems may quote it. */
const longestText = 2000;

interface Found {
  readonly problem: Problem;
  /** Where the value is that it follows from; undefined for one that stands by itself. */
  readonly cause?: Path;
}

/** Everything that is found wrong with one file, so that it can be told at once. */
export class ProblemList {
  readonly #document: DataDocument;
  readonly #found: Found[];
  /** `pathKey` of each unknown key, and of the one that was meant by it. */
  readonly #misspelt = new Set<string>();
  readonly #seen = new Set<string>();
  /** `placeOf` each problem. */
  readonly #places: Set<string>;
  /** Path to the option of the command line that gave the value there. */
  readonly #givenBy: ReadonlyMap<string, string>;
  /** `pathKey` to what there is to know of the value there, should it be wrong. */
  readonly #remarks = new Map<string, string>();

  /** @param givenBy `pathKey` of what the command line overrides, to the words of the command line */
  constructor(document: DataDocument, givenBy: ReadonlyMap<string, string> = new Map()) {
    this.#document = document;
    this.#givenBy = givenBy;
    this.#found = document.problems.map((problem) => ({ problem }));
    this.#places = new Set(document.problems.map(placeOf));
  }

  get isEmpty(): boolean {
    return this.#found.length === 0;
  }

  /** Has each hint about the value at a path begin with a remark on where it is from. */
  remark(path: Path, text: string): void {
    this.#remarks.set(pathKey(path), text);
  }

  /**
   * Adds a key that is not known. What is wrong inside of it, and what is missing as the key that was meant, follows from
   * that and is not told.
   *
   * @param known the keys that are known beside it
   * @param belongsIn a map that does know it
   */
  addUnknownKey(path: Path, known: readonly string[], belongsIn?: Path): void {
    const [name, around] = [String(path.at(-1)), path.slice(0, -1)];
    this.add('unknown_key', `Unknown key "${name}" in ${formatPath(around)}.`, path, {
      of: 'key',
      hint: belongsIn === undefined ? suggestion(name, known) : `It belongs in ${formatPath(belongsIn)}.`,
    });
    this.#misspelt.add(pathKey(path));
    const meantName = belongsIn === undefined ? nearestName(name, known) : name;
    if (meantName === undefined) return;
    const meant = [...(belongsIn ?? around), meantName];
    if ((valueAt(this.#document.value, meant) ?? null) === null) this.#misspelt.add(pathKey(meant));
  }

  /**
   * @param message a sentence that names the thing, what was expected and what was found
   * @param options.cause where the value is that the problem follows from. @default the path
   */
  add(
    code: string,
    message: string,
    path: Path,
    options: { readonly hint?: string | undefined; readonly of?: 'key' | 'value'; readonly cause?: Path } = {},
  ): void {
    const { cause = path } = options;
    const givenBy = this.#overrideOf(path);
    const remark = options.of === 'key' ? undefined : this.#remarks.get(pathKey(path));
    const hints = [remark, options.hint].filter((text) => text !== undefined);
    const hint = hints.length === 0 ? {} : { hint: hints.join(' ') };
    if (givenBy === undefined) {
      const problem = { code, message, position: this.#document.positionOf(path, options.of), path: formatPath(path) };
      // What was told first is the cause of what comes after.
      if (this.#places.has(placeOf(problem))) return;
      this.addPlain({ ...problem, ...hint }, cause);
    } else {
      const words = code === secretInRecipe ? givenBy.replace(/=.*$/s, '') : givenBy;
      this.addPlain({ code, message: `${words}: ${message}`, ...hint }, cause);
    }
  }

  /**
   * One that is not at a place of the file, or has its own. The same one twice is one, also where an alias (`*name`) repeats
   * what is written there once.
   */
  addPlain(given: Problem, cause?: Path): void {
    const { message, path, hint } = given;
    const problem = {
      ...given,
      message: cut(message),
      ...present({ path: path && cut(path), hint: hint && cut(hint) }),
    };
    const key = JSON.stringify([problem.code, problem.message, problem.position ?? problem.path]);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#places.add(placeOf(given));
    this.#found.push(cause === undefined ? { problem } : { problem, cause });
  }

  /** In the order of the file; what is not of the file comes first. */
  sorted(): readonly Problem[] {
    const at = ({ position }: Problem) => position ?? { line: 0, column: 0 };
    return this.#found
      .filter((found) => !this.#followsFromUnknownKey(found))
      .map(({ problem }) => problem)
      .sort((left, right) => at(left).line - at(right).line || at(left).column - at(right).column);
  }

  #followsFromUnknownKey({ problem, cause = [] }: Found): boolean {
    if (problem.code === 'unknown_key') return false;
    return cause.some((_, index) => this.#misspelt.has(pathKey(cause.slice(0, index + 1))));
  }

  #overrideOf(path: Path): string | undefined {
    for (let length = path.length; length > 0; length--) {
      const givenBy = this.#givenBy.get(pathKey(path.slice(0, length)));
      if (givenBy !== undefined) return givenBy;
    }
    return undefined;
  }
}

function cut(text: string): string {
  return text.length <= longestText ? text : `${startOf(text, longestText)}…`;
}

/** Its key, and where that is in the file. */
function placeOf({ path, position }: Problem): string {
  return JSON.stringify([path, position?.line, position?.column]);
}
