import type { z } from 'zod';
import { isMapValue } from '../document/describe-value.js';
import { asSchema, descend, mapOptions } from '../document/option-schema.js';
import { formatPath, type Path } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import { secretInRecipe } from '../errors.js';
import { keyShapes } from '../events/key-shapes.js';

/** Letters and digits by turns, without a word between: keys of issuers that give theirs no prefix. */
const mixed = /(?=[A-Za-z0-9]{20})[A-Za-z]*(?:\d+[A-Za-z]+){3}/;
const keyLike = new RegExp(keyShapes.join('|'));

/** Whether a text is the name of an environment variable, and no key that stands in the place of one. */
export function isVariableName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]{0,199}$/.test(text) && !keyLike.test(text) && !mixed.test(text);
}

/**
 * Refuses what stands in the place of a variable's name among options.
 * @param forms the options as they are written, and as their schema puts them out: each may fit where the other does not
 * @returns whether all are names
 */
export function areVariablesNamed(
  schema: z.ZodType,
  forms: readonly unknown[],
  around: Path,
  problems: ProblemList,
): boolean {
  let areNames = true;
  for (const options of new Set(forms)) {
    mapOptions(asSchema(schema), options, (marks, value, inner) => {
      if (marks.secret !== undefined && typeof value === 'string' && !isVariableName(value)) {
        areNames = false;
        refuse([...around, ...inner], problems);
      }
      return descend;
    });
  }
  return areNames;
}

/** The same of the `secrets` of the plugins that a recipe lists. */
export function areSecretsNamed(listed: unknown, problems: ProblemList): boolean {
  let areNames = true;
  for (const [index, plugin] of (Array.isArray(listed) ? listed : []).entries()) {
    const secrets: unknown = isMapValue(plugin) ? plugin.secrets : undefined;
    for (const [place, name] of (Array.isArray(secrets) ? secrets : []).entries()) {
      if (typeof name !== 'string' || isVariableName(name)) continue;
      areNames = false;
      refuse(['plugins', index, 'secrets', place], problems);
    }
  }
  return areNames;
}

function refuse(path: Path, problems: ProblemList): void {
  const message = `${formatPath(path)} must be the name of an environment variable. What stands there is not shown: it may be a key.`;
  problems.add(secretInRecipe, message, path, {
    hint: 'Keep the key in an environment variable, and write its name here, as in TEACHER_API_KEY.',
  });
}
