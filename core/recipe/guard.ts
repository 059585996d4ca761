import type { Marks } from '../document/option-schema.js';
import { type Path, pathKey } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import type { Overridden } from './overrides.js';
import { parseTemplate } from './reference.js';

/** Whether a value came from whoever sent the recipe, and not from a file that is trusted. */
export type IsForeign = (path: Path) => boolean;

/** A value of an option that is marked, and what is around it. */
export interface MarkedOption {
  /** Who has the option: "launchers/torchrun". */
  readonly uses: string;
  readonly marks: Marks;
  readonly value: unknown;
  /** Whether the recipe says it; otherwise it is the schema's default. */
  readonly isGiven: boolean;
  /** Where it is among the options. */
  readonly inner: Path;
  /** Where the options are in the recipe. */
  readonly around: Path;
  readonly options: unknown;
}

/** Refuses what a recipe that comes from somebody else may not say. */
export interface RecipeGuard {
  /** Only what was given beside the recipe's file (`-p`, `--set`) is foreign, not the file. */
  readonly trustsFile: boolean;
  /** How the files get there that the recipe names; for what says that one is not there. */
  readonly aboutFiles: string;
  /**
   * Called with the tree as it is written, and again once params are filled in; where it finds something, nothing else is
   * looked at: no plugin is loaded and no file is opened.
   */
  checkTree(tree: unknown, isForeign: IsForeign, problems: ProblemList): void;
  /** Called with each option that is marked and has a value. @returns whether it is allowed; if not, it is a problem */
  allowsOption(option: MarkedOption, isForeign: IsForeign, problems: ProblemList): boolean;
}

const noReferences: ReadonlyMap<string, string> = new Map();

/**
 * Which values of a recipe its file does not have by itself.
 * @param writtenAs `pathKey` of each value that had a reference, to its text; absent while none is followed yet
 */
export function givenBeside(overridden: Overridden, writtenAs = noReferences): IsForeign {
  const isGiven = givenParams(overridden);
  const foreign = [
    ...overridden.givenBy.keys(),
    ...[...writtenAs].filter(([, text]) => namesOneOf(isGiven, text)).map(([key]) => key),
  ];
  return (path) => {
    const key = pathKey(path);
    return foreign.some((given) => isWithin(given, key) || isWithin(key, given));
  };
}

/** Whether a param has something that was given beside the file: a value, another default, or all that is said of params. */
function givenParams({ givenBy, params }: Overridden): (name: string) => boolean {
  const declared = [...givenBy.keys()].map((key) => key.split('\u0000')).filter(([root]) => root === 'params');
  const areAll = declared.some(([, name]) => name === undefined);
  const names = new Set([...params.keys(), ...declared.map(([, name]) => name)]);
  return (name) => areAll || names.has(name);
}

function namesOneOf(isGiven: (param: string) => boolean, text: string): boolean {
  try {
    return parseTemplate(text).some(
      (piece) => typeof piece === 'object' && piece.root === 'params' && isGiven(piece.param),
    );
  } catch {
    // A reference that cannot be read leads nowhere, and is a problem of its own.
    return false;
  }
}

function isWithin(around: string, key: string): boolean {
  return around === '' || around === key || key.startsWith(`${around}\u0000`);
}
