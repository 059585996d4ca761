import { z } from 'zod';
import { UserError } from '../../errors.js';
import { graderChoice } from '../define.js';

type JsonSchema = Readonly<Record<string, unknown>>;

/** What the keywords of plugin.proto begin with. */
const prefix = 'x-simmer-';

/** Those keywords, and what `placement()` and its like say of an option. */
const marks = {
  'x-simmer-placement': { placement: true },
  'x-simmer-trainer': { trainer: true },
  'x-simmer-file': { file: true },
  'x-simmer-folder': { folder: true, placement: true },
  'x-simmer-runs-code': { runsCode: true },
} as const;

const markTypes: Readonly<Record<string, 'boolean' | 'string'>> = {
  ...Object.fromEntries(Object.keys(marks).map((keyword) => [keyword, 'boolean' as const])),
  'x-simmer-grader': 'string',
  'x-simmer-secret': 'string',
  'x-simmer-extensions-for': 'string',
};

/**
 * The options of a contribution as a schema of ours, from the JSON Schema that the plugin gave.
 * @param what for messages: `the options of the stage "difficulty"`
 * @param givenSecrets the variables that whoever has the options gets; absent: that is not known
 * @throws UserError `invalid_plugin`
 */
export function optionsFromJsonSchema(
  schema: JsonSchema | undefined,
  plugin: string,
  what: string,
  givenSecrets?: readonly string[],
): z.ZodObject {
  const refuse = (message: string): never => {
    throw new UserError('invalid_plugin', `Plugin ${plugin}: ${what} ${message}.`, {
      hint: 'This is a mistake in the plugin: tell its author, or see StageDescription in plugin.proto.',
    });
  };
  if (schema === undefined) return z.strictObject({});
  if (schema.type !== 'object') return refuse('are no JSON Schema of type "object"');
  const properties = (schema.properties ?? {}) as Readonly<Record<string, unknown>>;
  const required = new Set(Array.isArray(schema.required) ? (schema.required as unknown[]) : []);
  const definitions = '$defs' in schema ? { $defs: schema.$defs } : {};
  const misplaced = markInside(properties) ?? markInside(definitions);
  if (misplaced !== undefined) {
    const path = misplaced.join('.');
    return refuse(`have a mark "${path}", and only an option itself can be marked, not what is inside of one`);
  }
  const shape: Record<string, z.ZodType> = {};
  for (const [name, property] of Object.entries(properties)) {
    if (typeof property !== 'object' || property === null) return refuse(`have no schema for "${name}"`);
    const extensionsFor = (property as JsonSchema)['x-simmer-extensions-for'];
    if (typeof extensionsFor === 'string' && !namesTrainer(properties[extensionsFor])) {
      const beside = `no option "${extensionsFor}" with x-simmer-trainer`;
      return refuse(`have "${name}" with x-simmer-extensions-for "${extensionsFor}", and ${beside}`);
    }
    try {
      const option = optionFrom(property as JsonSchema, definitions, givenSecrets);
      shape[name] = required.has(name) || 'default' in property ? option : option.optional();
    } catch (error) {
      return refuse(`have a schema for "${name}" that cannot be read: ${(error as Error).message}`);
    }
  }
  return z.strictObject(shape);
}

/**
 * Where a keyword of Simmer's own stands below what a schema says of an option: it would not be heeded there, and one that
 * guards a server must not be lost. Definitions are for what is inside of options, so that all of one is below.
 */
function markInside(schema: JsonSchema, path: readonly string[] = []): readonly string[] | undefined {
  for (const [key, inner] of Object.entries(schema)) {
    const here = [...path, key];
    if (key.startsWith(prefix) && path.length !== 1) return here;
    const found = typeof inner === 'object' && inner !== null ? markInside(inner as JsonSchema, here) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function namesTrainer(property: unknown): boolean {
  return (property as JsonSchema | null | undefined)?.['x-simmer-trainer'] === true;
}

/** @throws Error for a mark whose value is of the wrong type, which would not be heeded */
function optionFrom(property: JsonSchema, definitions: JsonSchema, givenSecrets?: readonly string[]): z.ZodType {
  for (const [keyword, type] of Object.entries(markTypes)) {
    const value = property[keyword];
    if (value === undefined || typeof value === type) continue;
    throw new Error(`${keyword} must be a ${type}, not ${JSON.stringify(value)}`);
  }
  const grader = property['x-simmer-grader'];
  const described = typeof property.description === 'string' ? { description: property.description } : {};
  if (typeof grader === 'string') return graderChoice(grader).meta({ grader: true, ...described });
  const secret = property['x-simmer-secret'];
  const extensionsFor = property['x-simmer-extensions-for'];
  const known = Object.entries(marks).filter(([keyword]) => property[keyword] === true);
  const plain = Object.fromEntries(Object.entries(property).filter(([keyword]) => !keyword.startsWith(prefix)));
  const schema = z.fromJSONSchema({ ...plain, ...definitions } as Parameters<typeof z.fromJSONSchema>[0]);
  return schema.meta(
    Object.assign(
      {},
      described,
      ...known.map(([, mark]) => mark),
      typeof secret === 'string' && { secret, givenSecrets, placement: true },
      typeof extensionsFor === 'string' && { extensionsFor },
    ),
  );
}
