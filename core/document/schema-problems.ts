import type { z } from 'zod';
import { secretInRecipe } from '../errors.js';
import { describeValue } from './describe-value.js';
import { nearestName } from './nearest-name.js';
import { asSchema, mapsThatKnow, schemaAt, unknownKeys } from './option-schema.js';
import { formatPath, type Path, pathKey, valueAt } from './path.js';
import { StageOutput, unresolved } from './placeholders.js';
import type { ProblemList } from './problem-list.js';

type Issue = z.core.$ZodIssue;

interface SchemaCheck {
  readonly schema: z.ZodType;
  readonly value: unknown;
  /** Where the value is in the file. */
  readonly path: Path;
  /** `pathKey` of each value that had a reference, to its text. */
  readonly writtenAs?: ReadonlyMap<string, string>;
  /** More keys that are known at the top of the value, for suggestions: the inputs of a stage. */
  readonly otherKeys?: readonly string[];
  /** A map beside the value that knows a key which the value's schema does not. */
  readonly elsewhere?: (key: string) => Path | undefined;
  readonly problems: ProblemList;
}

/**
 * Checks a value, and adds each thing that is wrong with it to the problems, in words of our own.
 *
 * @returns what the schema makes of the value; undefined where something is wrong
 */
export function checkWithSchema<T>(check: SchemaCheck & { readonly schema: z.ZodType<T> }): T | undefined {
  const result = check.schema.safeParse(check.value);
  const unknown = unknownKeys(asSchema(check.schema), check.value);
  for (const { path, known } of unknown) addUnknownKey(check, path, known);
  // Of several at one place the first is told: one that shows nothing.
  const issues = (result.error?.issues ?? []).toSorted((one, other) => Number(hides(other)) - Number(hides(one)));
  for (const issue of issues) addIssue(check, issue as Issue, []);
  return result.success && unknown.length === 0 ? result.data : undefined;
}

function addIssue(check: SchemaCheck, issue: Issue, around: Path): void {
  const inner = [...around, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  const value = valueAt(check.value, inner);
  if (issue.code === 'unrecognized_keys') {
    const known = schemaAt(asSchema(check.schema), check.value, inner)?.keys ?? [];
    for (const key of issue.keys) addUnknownKey(check, [...inner, key], known);
    return;
  }
  if (containsUnresolved(value)) return;
  if (issue.code === 'invalid_union') {
    const branches = issue.errors as readonly (readonly Issue[])[];
    const deepest = branches.filter((branch) => branch.some((each) => each.path.length > 0 || isUnknownKey(each)));
    if (deepest.length === 1) {
      for (const each of deepest[0]!) addIssue(check, each, inner);
      return;
    }
    const nowhereKnown = keysThatNoneKnows(deepest);
    if (nowhereKnown.length > 0) {
      const known = schemaAt(asSchema(check.schema), check.value, inner)?.keys ?? [];
      for (const key of nowhereKnown) addUnknownKey(check, [...inner, key], known);
      return;
    }
  }
  const path = [...check.path, ...inner];
  const { keys = [], description } = schemaAt(asSchema(check.schema), check.value, inner) ?? {};
  if (
    value === undefined &&
    (issue.code === 'invalid_type' || issue.code === 'invalid_value' || issue.code === 'invalid_union')
  ) {
    const parent = formatPath(path.slice(0, -1));
    check.problems.add('missing_key', `${parent} needs "${path.at(-1)}": ${expected(issue)}.`, path, {
      hint: description,
    });
    return;
  }
  if (value instanceof StageOutput) {
    const message = `${formatPath(path)} must be ${expected(issue)}, not the output of a stage.`;
    check.problems.add('reference_not_allowed', message, path, { hint: description });
    return;
  }
  if (issue.code === 'invalid_key') {
    const [first] = issue.issues as readonly Issue[];
    const why =
      first === undefined || !hasOwnMessage(first) ? `a key must be ${expected(first ?? issue)}` : first.message;
    const message = `${formatPath(path.slice(0, -1))} has the key ${JSON.stringify(String(path.at(-1)))}: ${why}.`;
    check.problems.add('wrong_value', message, path, { of: 'key' });
    return;
  }
  const written = check.writtenAs?.get(pathKey(path));
  const got = `${describeValue(value)}${written === undefined ? '' : ` (from ${written})`}`;
  const message =
    issue.code === 'custom' || hasOwnMessage(issue)
      ? `${formatPath(path)}: ${issue.message}`
      : `${formatPath(path)} must be ${expected(issue)}, not ${got}.`;
  const own: unknown = issue.code === 'custom' ? issue.params?.hint : undefined;
  const remedy = typeof value === 'string' ? remedyOf(issue, value, keys) : undefined;
  const code = hides(issue) ? secretInRecipe : codeOf(issue, value);
  check.problems.add(code, message, path, {
    hint: typeof own === 'string' ? own : (remedy ?? description),
  });
}

/** Whether a secret may stand there. */
function hides(issue: Issue): boolean {
  return issue.code === 'custom' && issue.params?.isSecret === true;
}

/** What to write in place of a text. @param keys those of the map that is wanted, if it is one */
function remedyOf(issue: Issue, text: string, keys: readonly string[]): string | undefined {
  if (issue.code === 'invalid_value') {
    const nearest = nearestName(text, issue.values.map(String));
    return nearest === undefined ? undefined : `Did you mean "${nearest}"?`;
  }
  if (issue.code !== 'invalid_type') return undefined;
  if (keys.includes('uses') && text.includes('/')) return `Write { uses: ${text} }.`;
  const isMeant =
    issue.expected === 'boolean'
      ? ['true', 'false'].includes(text)
      : ['number', 'int'].includes(issue.expected) && text.trim() !== '' && Number.isFinite(Number(text));
  return isMeant ? `Write ${text} without quotes.` : undefined;
}

/** Whether the schema's author worded it. zod's own words are known by how they begin. */
function hasOwnMessage(issue: Issue): boolean {
  return !/^(Invalid |Too |Unrecognized |Expected )/.test(issue.message);
}

/** Keys that no form of a union has: more likely a slip than a wish for another form. */
function keysThatNoneKnows(branches: readonly (readonly Issue[])[]): readonly string[] {
  const unknown = branches.map((branch) =>
    branch.flatMap((each) => (each.code === 'unrecognized_keys' && each.path.length === 0 ? each.keys : [])),
  );
  return (unknown[0] ?? []).filter((key) => unknown.every((keys) => keys.includes(key)));
}

function isUnknownKey(issue: Issue): boolean {
  return issue.code === 'unrecognized_keys';
}

function addUnknownKey(check: SchemaCheck, inner: Path, known: readonly string[]): void {
  const candidates = inner.length === 1 ? [...known, ...(check.otherKeys ?? [])] : known;
  const path = [...check.path, ...inner];
  const key = String(inner.at(-1));
  const inside = check.otherKeys?.includes(key) ? [] : mapsThatKnow(asSchema(check.schema), key)[0];
  const belongsIn = inside === undefined ? check.elsewhere?.(key) : [...check.path, ...inside];
  // Forms of one map may differ in their keys.
  const isElsewhere = belongsIn !== undefined && pathKey(belongsIn) !== pathKey(path.slice(0, -1));
  check.problems.addUnknownKey(path, candidates, isElsewhere ? belongsIn : undefined);
}

function codeOf(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return 'wrong_type';
    case 'invalid_union':
      return 'wrong_type';
    case 'too_big':
    case 'too_small':
    case 'not_multiple_of':
      return 'out_of_range';
    case 'invalid_value':
      return typeof value === 'string' ? 'unknown_value' : 'wrong_type';
    default:
      return 'wrong_value';
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'nothing',
};

/** The text that a format of zod's wants. */
function formatted(issue: Extract<Issue, { readonly code: 'invalid_format' }>): string {
  if (issue.format === 'regex') return `text like ${issue.pattern}`;
  return 'includes' in issue ? `text with "${issue.includes}" in it` : `text of the form "${issue.format}"`;
}

/** What would have been right, to follow "must be". */
function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1
        ? JSON.stringify(issue.values[0])
        : `one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_small':
      return sized(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
    case 'too_big':
      return sized(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return formatted(issue);
    case 'invalid_union': {
      const branches = issue.errors as readonly (readonly Issue[])[];
      const ways = [...new Set(branches.flatMap((branch) => branch.slice(0, 1).map(wayOf)))];
      return ways.length === 0 ? 'of another kind' : ways.join(', or ');
    }
    default:
      return 'of another kind';
  }
}

/** What one form of a union would have been: a map where it is known by what lacks in it. */
function wayOf(first: Issue): string {
  const [key] = first.path;
  return key === undefined ? expected(first) : `a map with ${JSON.stringify(String(key))}`;
}

function sized(origin: string, comparison: string, limit: number | bigint): string {
  if (origin === 'string')
    return limit === 1 && comparison === 'at least'
      ? 'text that is not empty'
      : `text of ${comparison} ${limit} characters`;
  if (origin === 'array' || origin === 'set')
    return `a list of ${comparison} ${limit} ${limit === 1 ? 'item' : 'items'}`;
  return `${comparison} ${limit}`;
}

function containsUnresolved(value: unknown): boolean {
  if (value === unresolved) return true;
  if (typeof value !== 'object' || value === null || value instanceof StageOutput) return false;
  return Object.values(value).some(containsUnresolved);
}
