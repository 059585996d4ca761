import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { describeValue, isMapValue } from '../document/describe-value.js';
import { suggestion } from '../document/nearest-name.js';
import { formatPath, type Path } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import { checkWithSchema } from '../document/schema-problems.js';
import { type Overridden, parseValue } from './overrides.js';

/** A param, as the recipe declares it. */
export interface Param {
  /** Where its value is in the recipe. */
  readonly path: Path;
  /** Undefined for one that must be given. */
  readonly value: unknown;
  /** A file of the data folder that would stand in for the default, and is not there. */
  readonly missingDataFile?: string;
  /** What the SHA-256 of the file must be that the value names. */
  readonly sha256?: string;
  /** Short names, with the values that they stand for. */
  readonly names?: Readonly<Record<string, unknown>>;
}

export type Params = ReadonlyMap<string, Param>;

const definitionKeys = ['default', 'description', 'names', 'dataFile'];

const nameInFolder = z
  .string()
  .min(1)
  .refine((name) => !isAbsolute(name) && !name.split('/').includes('..'), 'it is a name in the data folder.');

/** A file of the data folder, and what its content must be. */
export const dataFileShape = z.union([
  nameInFolder,
  z.strictObject({
    file: nameInFolder.describe('Its name in the data folder.'),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits.')
      .optional()
      .describe('What the file must be.'),
  }),
]);

/**
 * The params that a recipe declares, with what the command line gives for them. A param is its default value, or
 * `{default, description, names, dataFile}`; without a default it must be given. `names` are short names for values.
 * `dataFile: {file, sha256}` is a file of the data folder that stands in for the default where it is there.
 */
export function readParams(
  tree: unknown,
  given: Overridden['params'],
  dataFolder: string | undefined,
  problems: ProblemList,
): Params {
  const params = new Map<string, Param>();
  if (tree !== undefined && tree !== null && !isMapValue(tree)) {
    problems.add('wrong_type', `params must be a map, not ${describeValue(tree)}.`, ['params']);
  }
  for (const [name, declared] of Object.entries(isMapValue(tree) ? tree : {})) {
    const path = ['params', name];
    if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(name)) {
      const message = `"${name}" cannot be the name of a param.`;
      problems.add('wrong_name', message, path, { of: 'key', hint: 'Names are letters, digits, "_" and "-".' });
      continue;
    }
    params.set(
      name,
      isMapValue(declared) ? readDefinition(declared, path, dataFolder, problems) : { path, value: declared },
    );
  }
  for (const [name, { text, givenBy }] of given) {
    const param = params.get(name);
    if (param === undefined) {
      const message = `${givenBy}: the recipe has no param "${name}".`;
      const hint = suggestion(name, params.keys()) ?? 'It has no params at all.';
      problems.addPlain({ code: 'unknown_param', message, hint }, ['params']);
      continue;
    }
    const { path, names = {}, value: standing } = param;
    const value = Object.hasOwn(names, text) ? names[text] : givenValue(text, standing, givenBy, problems);
    params.set(name, { path, value, names });
  }
  return params;
}

function readDefinition(
  declared: Record<string, unknown>,
  path: Path,
  dataFolder: string | undefined,
  problems: ProblemList,
): Param {
  for (const key of Object.keys(declared)) {
    if (!definitionKeys.includes(key)) problems.addUnknownKey([...path, key], definitionKeys);
  }
  const { names } = declared;
  if (names !== undefined && !isMapValue(names)) {
    const message = `${formatPath([...path, 'names'])} must be a map, not ${describeValue(names)}.`;
    problems.add('wrong_type', message, [...path, 'names'], { hint: 'It reads {SHORT: VALUE}.' });
  }
  const known = isMapValue(names) ? names : {};
  const written = Object.hasOwn(declared, 'default') ? declared.default : undefined;
  const value = typeof written === 'string' && Object.hasOwn(known, written) ? known[written] : written;
  const standing = { path: [...path, 'default'], value, names: known };
  if (declared.dataFile === undefined) return standing;
  const dataFile = checkWithSchema({
    schema: dataFileShape,
    value: declared.dataFile,
    path: [...path, 'dataFile'],
    problems,
  });
  if (dataFile === undefined) return standing;
  const { file, sha256 } = typeof dataFile === 'string' ? { file: dataFile } : dataFile;
  if (dataFolder === undefined || !existsSync(join(dataFolder, file))) return { ...standing, missingDataFile: file };
  return { path: [...path, 'dataFile'], value: join(dataFolder, file), ...(sha256 === undefined ? {} : { sha256 }) };
}

/** What was given on the command line, as the type of the default; without one, as YAML reads it. */
function givenValue(text: string, standing: unknown, givenBy: string, problems: ProblemList): unknown {
  if (typeof standing === 'string') return text;
  const parsed = parseValue(text, givenBy);
  if ('problem' in parsed) {
    problems.addPlain(parsed.problem);
    return standing;
  }
  const wanted = Array.isArray(standing) ? 'a list' : typeof standing === 'number' ? 'a number' : 'true or false';
  const fits = Array.isArray(standing) ? Array.isArray(parsed.value) : typeof parsed.value === typeof standing;
  if (standing !== null && standing !== undefined && !fits) {
    const message = `${givenBy}: expected ${wanted}, like its default, not ${describeValue(parsed.value)}.`;
    problems.addPlain({ code: 'wrong_type', message });
    return standing;
  }
  return parsed.value;
}
