import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { canonicalJson } from '../document/canonical-json.js';
import { isMapValue } from '../document/describe-value.js';
import { suggestion } from '../document/nearest-name.js';
import { absentOptions, asSchema, descend, leaveOut, mapOptions } from '../document/option-schema.js';
import { formatPath, type Path, pathKey, valueAt } from '../document/path.js';
import { checkWithSchema } from '../document/schema-problems.js';
import { isUserError, UserError } from '../errors.js';
import { isUrl } from '../files/is-url.js';
import { isGlob } from '../files/matching-files.js';
import type { Contribution } from '../plugin/catalog.js';
import type { GraderDefinition } from '../plugin/definitions.js';
import { thrownText } from '../plugin/thrown-text.js';
import { namedDigest } from './content-digest.js';
import type { Json } from './plan.js';
import type { PlanScope } from './plan-scope.js';
import { areVariablesNamed } from './variable-names.js';

type JsonMap = { readonly [key: string]: Json };

/** Options of a contribution that its schema takes. */
export interface CheckedOptions {
  /** As the schema puts them out: what the contribution's functions get. */
  readonly output: Record<string, unknown>;
  /** The same as JSON. */
  readonly options: JsonMap;
  /** Without placement, with the content of files instead of their paths, and with the places of trainers in `trainers`. */
  readonly semanticOptions: JsonMap;
  /** Names of trainers in it, each once. */
  readonly trainers: readonly { readonly name: string; readonly path: Path }[];
  /** Environment variables of secrets that it and its graders name, each once. */
  readonly secrets: readonly string[];
  /** Graders in it. */
  readonly graders: readonly Contribution<GraderDefinition>[];
}

interface OptionsToCheck {
  /** Who has the options, for messages: "curation/select". */
  readonly uses: string;
  readonly schema: z.ZodObject;
  readonly value: unknown;
  /** Where they are in the recipe. */
  readonly path: Path;
  /** Keys beside them that are no options: the inputs of a stage. */
  readonly otherKeys?: readonly string[];
  /** The trainers that they may name. */
  readonly trainerNames?: readonly string[];
  /** What a trainer declares of the extensions that it takes. */
  readonly extensionsOf?: (trainer: string) => z.ZodObject | undefined;
}

/** What a recipe names by `uses`, found, with its options checked. */
interface CheckedUse<D> {
  readonly found: Contribution<D>;
  readonly options: CheckedOptions;
}

/**
 * Finds what a recipe names, and checks the options that it gives it.
 * @param path of the map with both @param usesPath of the name @returns undefined after a problem
 */
export async function checkUsed<D extends { readonly options: z.ZodObject }>(
  scope: PlanScope,
  lookUp: Promise<Contribution<D>>,
  { uses, with: value }: { readonly uses: string; readonly with: unknown },
  path: Path,
  usesPath: Path = [...path, 'uses'],
): Promise<CheckedUse<D> | undefined> {
  const found = await scope.find(usesPath, lookUp);
  if (found === undefined) return undefined;
  const { options: schema } = found.definition;
  const options = await checkOptions(scope, { uses, schema, value, path: [...path, 'with'] });
  return options && { found, options };
}

/** Checks options against their schema, and the files and graders that they name. @returns undefined after a problem */
export async function checkOptions(scope: PlanScope, check: OptionsToCheck): Promise<CheckedOptions | undefined> {
  const { schema, path, uses } = check;
  // Once on its own, so that only what the schema itself throws counts as the plugin's failure.
  const parsed = guarded(uses, () => schema.safeParse(check.value));
  // Before anything else is said of them, which might show what stands there.
  const forms = [check.value, ...(parsed.success ? [parsed.data] : [])];
  if (!areVariablesNamed(schema, forms, path, scope.problems)) return undefined;
  const output: Record<string, unknown> | undefined = checkWithSchema({
    ...check,
    writtenAs: scope.writtenAs,
    problems: scope.problems,
  });
  // What wrong options name is looked at all the same, so that everything is told at once.
  const looked: unknown = output ?? check.value;
  const trainers = new Map<string, Path>();
  const secrets = new Set<string>();
  const files: { readonly path: Path; readonly name: string }[] = [];
  const graders: { readonly path: Path; readonly value: { uses: string; with: unknown } }[] = [];
  const allowed = isAllowed(scope, check, looked);
  let isWhole = allowed && output !== undefined;
  const extensions: { readonly inner: Path; readonly value: unknown; readonly trainerOption: string }[] = [];
  mapOptions(asSchema(schema), looked, (marks, value, inner) => {
    const at = [...path, ...inner];
    if (marks.trainer && typeof value === 'string' && !trainers.has(value)) trainers.set(value, at);
    if (marks.secret !== undefined && typeof value === 'string') {
      secrets.add(value);
      if (marks.givenSecrets?.includes(value) === false && valueAt(check.value, inner) === value) {
        isWhole = false;
        scope.problems.add('secret_not_given', `The plugin does not get the environment variable ${value}.`, at, {
          hint: `List it where the recipe lists the plugin: { plugin: …, secrets: [${value}] }`,
        });
      }
    }
    // Whether a file is there is not for those to know who may not name it.
    if (allowed && marks.file && typeof value === 'string' && !isUrl(value)) files.push({ path: at, name: value });
    if (marks.grader && isMapValue(value) && typeof value.uses === 'string') {
      graders.push({ path: at, value: { uses: value.uses, with: value.with ?? {} } });
    }
    if (marks.extensionsFor !== undefined && isMapValue(value)) {
      extensions.push({ inner, value, trainerOption: marks.extensionsFor });
    }
    return descend;
  });
  // Some may be needed where none are given.
  for (const { path: inner, marks } of absentOptions(asSchema(schema), looked)) {
    if (marks.extensionsFor !== undefined) extensions.push({ inner, value: {}, trainerOption: marks.extensionsFor });
  }

  const replacements = new Map<string, unknown>();
  const foundGraders: Contribution<GraderDefinition>[] = [];
  for (const [name, at] of trainers) {
    if (check.trainerNames?.includes(name) ?? true) continue;
    isWhole = false;
    scope.problems.add('unknown_trainer', `The recipe has no trainer "${name}".`, at, {
      hint: suggestion(name, check.trainerNames ?? []) ?? 'Declare it under `trainers`.',
      cause: ['trainers'],
    });
  }
  for (const { inner, value, trainerOption } of extensions) {
    const trainer = valueAt(looked, [...inner.slice(0, -1), trainerOption]);
    const declared = typeof trainer === 'string' ? check.extensionsOf?.(trainer) : undefined;
    if (declared === undefined) continue;
    guarded(`The trainer "${trainer}"`, () => declared.safeParse(value));
    if (!areVariablesNamed(declared, [value], [...path, ...inner], scope.problems)) {
      isWhole = false;
      continue;
    }
    const { writtenAs, problems } = scope;
    const at = [...path, ...inner];
    const checked = checkWithSchema({ schema: declared, value, path: at, writtenAs, problems });
    const around = { ...check, schema: declared, value };
    if (!isAllowed(scope, around, checked ?? value, { at: inner, options: looked }) || checked === undefined) {
      isWhole = false;
    }
  }
  for (const file of files) {
    const digest = await fileDigest(scope, file.path, file.name);
    if (digest === undefined) isWhole = false;
    else replacements.set(pathKey(file.path), { sha256: digest });
  }
  for (const { path: at, value } of graders) {
    const grader = await checkUsed(scope, scope.catalog.grader(value.uses), value, at);
    if (grader === undefined) {
      isWhole = false;
      continue;
    }
    foundGraders.push(grader.found);
    for (const secret of grader.options.secrets) secrets.add(secret);
    replacements.set(pathKey(at), { uses: value.uses, with: grader.options.semanticOptions });
  }
  if (!isWhole || output === undefined) return undefined;

  const semantic = mapOptions(asSchema(schema), output, (marks, value, inner) => {
    if (marks.placement || value === undefined) return leaveOut;
    // Which of the stage's trainers it is: what it is called is no part of it.
    if (marks.trainer && typeof value === 'string') return [...trainers.keys()].indexOf(value);
    const replacement = replacements.get(pathKey([...path, ...inner]));
    return replacement ?? descend;
  });
  return {
    output,
    options: asJson(output, uses),
    semanticOptions: asJson(semantic, uses),
    trainers: [...trainers].map(([name, at]) => ({ name, path: at })),
    secrets: [...secrets],
    graders: foundGraders,
  };
}

/** Runs a plugin's code; what it throws, unless it is for the user, is the plugin's failure. @throws UserError */
function guarded<T>(uses: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw pluginFailure(uses, error);
  }
}

/** The same for code that answers later. @param during what it failed at, for the message @throws UserError */
export async function guardedAnswer<T>(
  uses: string,
  call: () => Promise<T>,
  during = 'its options were checked',
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw pluginFailure(uses, error, during);
  }
}

function pluginFailure(uses: string, error: unknown, during = 'its options were checked'): UserError {
  if (isUserError(error)) return error;
  return new UserError('plugin_failed', `${uses} failed while ${during}: ${thrownText(error)}`, {
    cause: error,
    hint: 'This is a mistake in the plugin: tell its author.',
  });
}

/** Digest of code that comes from several plugins. */
export async function codeDigestOf(plugins: readonly { codeDigest(): Promise<string> }[]): Promise<string> {
  const digests = [...new Set(await Promise.all(plugins.map((plugin) => plugin.codeDigest())))];
  return digests.length === 1 ? digests[0]! : createHash('sha256').update(digests.join('\n')).digest('hex');
}

async function fileDigest(scope: PlanScope, path: Path, name: string): Promise<string | undefined> {
  const file = resolve(scope.recipeFolder, name);
  try {
    const digest = await namedDigest(name, scope.recipeFolder);
    if (digest !== undefined) return digest;
    scope.problems.add(
      'missing_file',
      `${formatPath(path)}: there is no file ${file}${isGlob(name) ? ', and none that it matches as a glob' : ''}.`,
      path,
      {
        hint: scope.aboutFiles,
      },
    );
  } catch (error) {
    if (isUserError(error)) {
      scope.problems.add(error.code, `${formatPath(path)}: ${error.message}`, path, { hint: error.hint });
      return undefined;
    }
    const message = `${formatPath(path)}: ${file} cannot be read: ${(error as Error).message}.`;
    scope.problems.add('not_readable', message, path, { hint: 'Check its permissions.' });
  }
  return undefined;
}

/**
 * Whether the caller allows all that is marked. Looked at are the options as they are written and as the schema puts them
 * out: what it makes of a value may fit its schema no more, and then its marks are found only before.
 * @param within which options these are a part of, and where in them
 */
function isAllowed(
  scope: PlanScope,
  { uses, schema, path, value: written }: OptionsToCheck,
  options: unknown,
  within: { readonly at: Path; readonly options: unknown } = { at: [], options },
): boolean {
  let allowed = true;
  for (const form of new Set([written, options])) {
    mapOptions(asSchema(schema), form, (marks, value, at) => {
      const isGiven = says(written, at);
      const inner = [...within.at, ...at];
      if (!scope.allows({ uses, marks, value, isGiven, inner, around: path, options: within.options })) allowed = false;
      return descend;
    });
  }
  return allowed;
}

/** Whether options have a value at a path, or one that a schema made it of; otherwise it is a default. */
function says(given: unknown, path: Path): boolean {
  let here = given;
  for (const part of path) {
    if (typeof here !== 'object' || here === null) return true;
    if (!Object.hasOwn(here, part)) return false;
    here = (here as Record<string | number, unknown>)[part];
  }
  return here !== undefined;
}

function asJson(value: unknown, uses: string): JsonMap {
  try {
    return JSON.parse(canonicalJson(value)) as JsonMap;
  } catch (error) {
    throw new UserError('plugin_failed', `The options of ${uses} are not JSON: ${(error as Error).message}`, {
      cause: error,
      hint: 'This is a mistake in the plugin: what its schema puts out must be plain JSON. Tell its author.',
    });
  }
}
