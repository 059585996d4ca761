import { describeValue, isMapValue } from '../document/describe-value.js';
import { parseDocument } from '../document/document.js';
import { suggestion } from '../document/nearest-name.js';
import { formatPath, type Path, pathKey } from '../document/path.js';
import { isUserError, type Problem } from '../errors.js';
import { recipeShape } from './recipe-shape.js';

/** What the command line changes in a recipe. */
export interface Overrides {
  /** `-p key=value` */
  readonly params: Readonly<Record<string, string>>;
  /** `--set path=value` */
  readonly overrides: Readonly<Record<string, string>>;
  /** `--until stage`: only what that stage needs, and itself. */
  readonly until?: string;
}

/** The overrides in the words of the command line: `-p count=5`, `--set seed=2`, `--until curated`. */
export function overridesAsWritten({ params, overrides, until }: Overrides): readonly string[] {
  return [
    ...Object.entries(params).map(([name, value]) => paramLabel(name, value)),
    ...Object.entries(overrides).map(([path, value]) => setLabel(path, value)),
    ...(until === undefined ? [] : [`--until ${until}`]),
  ];
}

const paramLabel = (name: string, text: string) => `-p ${name}=${text}`;
const setLabel = (path: string, text: string) => `--set ${path}=${text}`;

/** A recipe's tree with the overrides in it. */
export interface Overridden {
  readonly value: unknown;
  /** Param name to the value that was given for it, and the words of the command line that gave it. */
  readonly params: ReadonlyMap<string, { readonly text: string; readonly givenBy: string }>;
  readonly givenBy: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

/** Maps whose keys are the author's own: a name that is not there is a slip, not a new entry. */
const namedEntries: ReadonlySet<string> = new Set(['stages', 'trainers']);

/** Puts `--set` values into a copy of the tree; `-p`, and `--set params.NAME`, are kept for the params. */
export function applyOverrides(tree: unknown, given: Overrides): Overridden {
  const value = structuredClone(tree);
  const params = new Map<string, { text: string; givenBy: string }>();
  const givenBy = new Map<string, string>();
  const problems: Problem[] = [];
  for (const [name, text] of Object.entries(given.params)) params.set(name, { text, givenBy: paramLabel(name, text) });
  for (const [dotted, text] of Object.entries(given.overrides)) {
    const label = setLabel(dotted, text);
    const path = parsePath(dotted);
    if (path === undefined) {
      const message = `${label}: "${dotted}" is not a path.`;
      problems.push({ code: 'bad_path', message, hint: 'A path reads like stages.tuned.with.learningRate.' });
      continue;
    }
    if (path[0] === 'params' && path.length === 2) {
      params.set(String(path[1]), { text, givenBy: label });
      continue;
    }
    const parsed = parseValue(text, label);
    if ('problem' in parsed) {
      problems.push(parsed.problem);
      continue;
    }
    const made = put(value, path, parsed.value, label);
    if ('problem' in made) problems.push(made.problem);
    else givenBy.set(pathKey(made.path), label);
  }
  return { value, params, givenBy, problems };
}

/** A value of the command line: YAML, so that numbers, lists and true are what they look like. */
export function parseValue(text: string, label: string): { readonly value: unknown } | { readonly problem: Problem } {
  // To YAML it is null, which takes a seed or a limit away: of `seed=$SEED` without a SEED nobody means that.
  if (text.trim() === '') {
    const hint = `Nothing is written as null, an empty text as "''".`;
    return { problem: { code: 'bad_value', message: `${label}: there is no value behind the "=".`, hint } };
  }
  try {
    const { value, problems } = parseDocument(label, text, 'value');
    const first = problems[0];
    return first === undefined ? { value } : { problem: { code: first.code, message: `${label}: ${first.message}` } };
  } catch (error) {
    if (!isUserError(error)) throw error;
    const message = `${label}: ${error.problems[0]?.message ?? error.message}`;
    return {
      problem: { code: 'bad_value', message, hint: 'Quote text that has special characters: --set path="\'…\'".' },
    };
  }
}

function parsePath(dotted: string): Path | undefined {
  const parts = dotted.split('.');
  if (
    parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part) || ['__proto__', 'constructor', 'prototype'].includes(part))
  ) {
    return undefined;
  }
  return parts;
}

/** @returns the outermost path that has its value from here: maps on the way that were not there are made */
function put(
  root: unknown,
  path: Path,
  value: unknown,
  label: string,
): { readonly path: Path } | { readonly problem: Problem } {
  let here = root;
  let outermost = path;
  for (const [index, part] of path.entries()) {
    const around = path.slice(0, index);
    const isLast = index === path.length - 1;
    if (Array.isArray(here)) {
      // No other form of a number, so that a place has one name.
      const position = /^(0|[1-9]\d*)$/.test(String(part)) ? Number(part) : here.length;
      if (position >= here.length) {
        const message = `${label}: ${formatPath(around)} has no item ${part}.`;
        return { problem: { code: 'unknown_key', message, hint: `It has items 0 to ${here.length - 1}.` } };
      }
      if (isLast) here[position] = value;
      here = here[position];
    } else if (isMapValue(here)) {
      const key = String(part);
      if (!Object.hasOwn(here, key) && namedEntries.has(String(around.at(-1))) && around.length === 1) {
        const message = `${label}: there is no "${key}" in ${formatPath(around)}.`;
        const hint = suggestion(key, Object.keys(here));
        return { problem: { code: 'unknown_key', message, ...(hint === undefined ? {} : { hint }) } };
      }
      const isKey = Object.hasOwn(here, key) || Object.hasOwn(recipeShape.shape, key);
      const group = index > 0 || isKey ? undefined : groupOf(key, here);
      if (group !== undefined) {
        const message = `${label}: a recipe has no "${key}".`;
        return { problem: { code: 'unknown_key', message, hint: `Did you mean ${formatPath([group, ...path])}?` } };
      }
      if (isLast) here[key] = value;
      else if (!Object.hasOwn(here, key) || here[key] === null) {
        if (outermost === path) outermost = path.slice(0, index + 1);
        here[key] = {};
      }
      here = here[key];
    } else {
      const message = `${label}: ${formatPath(around)} is ${describeValue(here)}; there is nothing below it to set.`;
      return { problem: { code: 'bad_path', message } };
    }
  }
  return { path: outermost };
}

/** `stages`, where a name is that of a stage, and the like. */
function groupOf(name: string, recipe: Readonly<Record<string, unknown>>): string | undefined {
  return [...namedEntries].find((group) => {
    const entries = recipe[group];
    return isMapValue(entries) && Object.hasOwn(entries, name);
  });
}
