import { z } from 'zod';
import { markNames } from '../document/option-schema.js';
import type { LoadedPlugin, PluginCatalog } from '../plugin/catalog.js';
import type { InputDefinition } from '../plugin/definitions.js';
import { dataFileShape } from './params.js';
import { recipeShape, sinkShape, stageShape, trainerShape } from './recipe-shape.js';

type JsonSchema = Record<string, unknown>;

/** A reference may stand where any value may. */
const reference = { type: 'string', pattern: '\\$\\{\\{.*\\}\\}' };
const outputReference = {
  type: 'string',
  pattern: '^\\s*\\$\\{\\{\\s*stages\\.[A-Za-z_][A-Za-z0-9_-]*\\.[A-Za-z_][A-Za-z0-9_-]*\\s*\\}\\}\\s*$',
};

/**
 * The JSON Schema of recipes (draft 2020-12), with the options of every stage, trainer, launcher and sink of the
 * catalog, so that editors complete and explain them. Loads every plugin.
 */
export async function recipeJsonSchema(catalog: PluginCatalog): Promise<object> {
  const plugins = await catalog.all();
  const shape = jsonSchemaOf(recipeShape);
  const properties = shape.properties as Record<string, JsonSchema>;
  const launcher = chosen(jsonSchemaOf(sinkShape), contributions(plugins, 'launchers'));
  const trainer = chosen(jsonSchemaOf(trainerShape), contributions(plugins, 'trainers'));
  (trainer.properties as JsonSchema).launcher = {
    anyOf: [{ enum: contributions(plugins, 'launchers').map(([uses]) => uses) }, launcher],
  };
  const sink = chosen(jsonSchemaOf(sinkShape), contributions(plugins, 'sinks'));
  return withDefinitionsOnTop({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Simmer recipe',
    ...shape,
    properties: {
      ...properties,
      params: {
        type: 'object',
        description: `Values that \${{ params.NAME }} stands for; \`-p NAME=VALUE\` gives another.`,
        additionalProperties: {
          anyOf: [
            { type: ['string', 'number', 'boolean', 'array', 'null'] },
            {
              type: 'object',
              properties: {
                default: { description: 'Without it the param must be given.' },
                description: { type: 'string' },
                names: {
                  type: 'object',
                  description: 'Short names, each with the value that it stands for, as default and for -p.',
                },
                dataFile: {
                  ...jsonSchemaOf(dataFileShape),
                  description:
                    'A file of the data folder (--data, SIMMER_DATA) that is taken instead of the default where it is there.',
                },
              },
              additionalProperties: false,
            },
          ],
        },
      },
      trainers: { ...described(properties.trainers), type: 'object', additionalProperties: trainer },
      sinks: {
        ...described(properties.sinks),
        type: 'array',
        items: { anyOf: [{ enum: contributions(plugins, 'sinks').map(([uses]) => uses) }, sink] },
      },
      stages: {
        ...described(properties.stages),
        type: 'object',
        minProperties: 1,
        additionalProperties: chosen(jsonSchemaOf(stageShape), contributions(plugins, 'stages')),
      },
    },
  });
}

function described(schema: JsonSchema | undefined): JsonSchema {
  return { description: schema?.description };
}

interface Described {
  readonly description: string;
  readonly options: z.ZodObject;
  readonly inputs?: Readonly<Record<string, InputDefinition>>;
}

function contributions(
  plugins: readonly LoadedPlugin[],
  kind: 'stages' | 'trainers' | 'launchers' | 'sinks',
): readonly (readonly [string, Described])[] {
  return plugins.flatMap(({ definition }) =>
    Object.entries((definition[kind] ?? {}) as Readonly<Record<string, Described>>).map(
      ([name, contribution]) => [`${definition.name}/${name}`, contribution] as const,
    ),
  );
}

/** A `{uses, with}` whose `with` depends on its `uses`. */
function chosen(shape: JsonSchema, choices: readonly (readonly [string, Described])[]): JsonSchema {
  const properties = shape.properties as Record<string, JsonSchema>;
  return {
    ...shape,
    properties: {
      ...properties,
      uses: {
        description: properties.uses?.description,
        oneOf: choices.map(([uses, { description }]) => ({ const: uses, description })),
      },
    },
    allOf: choices.map(([uses, contribution]) => ({
      if: { properties: { uses: { const: uses } }, required: ['uses'] },
      // biome-ignore lint/suspicious/noThenProperty: it is JSON Schema's word
      then: { properties: { with: withSchema(contribution) } },
    })),
  };
}

function withSchema({ options, inputs = {} }: Described): JsonSchema {
  const schema = jsonSchemaOf(options);
  const inputSchemas = Object.entries(inputs).map(([name, { types, many, description }]) => {
    const one = { ...outputReference, description: `${description} (${types.join(' or ')})` };
    return [name, many ? { anyOf: [one, { type: 'array', items: one }], description } : one] as const;
  });
  const needed = Object.entries(inputs).flatMap(([name, input]) => (input.optional ? [] : [name]));
  const required = [...((schema.required as string[] | undefined) ?? []), ...needed];
  return {
    ...schema,
    properties: { ...(schema.properties as JsonSchema), ...Object.fromEntries(inputSchemas) },
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

/** As people write it, with references allowed in place of every value inside. */
function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ jsonSchema }) {
      for (const mark of markNames) delete jsonSchema[mark];
    },
  });
  return withReferences(json as JsonSchema, true);
}

/** Takes the definitions of schemas inside up to the top, which is where their references point. */
function withDefinitionsOnTop(schema: JsonSchema): JsonSchema {
  const definitions: Record<string, unknown> = {};
  const moved = (value: unknown, prefix: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => moved(item, prefix));
    if (!isSchema(value)) return value;
    const { $defs, ...rest } = value;
    const own = $defs === undefined ? prefix : `${prefix}${Object.keys(definitions).length}-`;
    for (const [name, definition] of Object.entries(isSchema($defs) ? $defs : {})) {
      definitions[`${own}${name}`] = true;
      definitions[`${own}${name}`] = moved(definition, own);
    }
    return Object.fromEntries(
      Object.entries(rest).map(([key, inner]) => [
        key,
        key === '$ref' && typeof inner === 'string' ? inner.replace('#/$defs/', `#/$defs/${own}`) : moved(inner, own),
      ]),
    );
  };
  const body = moved(schema, '') as JsonSchema;
  return Object.keys(definitions).length === 0 ? body : { ...body, $defs: definitions };
}

function withReferences(schema: JsonSchema, isRoot = false): JsonSchema {
  const inner = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      if (key === 'properties') return [key, mapValues(value as Record<string, JsonSchema>)];
      if (key === 'items' || key === 'additionalProperties')
        return [key, isSchema(value) ? withReferences(value) : value];
      return [key, value];
    }),
  );
  const isAnyText = inner.type === 'string' && !('pattern' in inner) && !('enum' in inner) && !('format' in inner);
  const hasNoType = !('type' in inner || 'anyOf' in inner || 'oneOf' in inner || 'enum' in inner || 'const' in inner);
  if (isRoot || isAnyText || hasNoType) return inner;
  const { description, default: standing, ...constraint } = inner;
  return {
    ...(description === undefined ? {} : { description }),
    ...(standing === undefined ? {} : { default: standing }),
    anyOf: [constraint, reference],
  };
}

function mapValues(schemas: Record<string, JsonSchema>): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([key, value]) => [key, withReferences(value)]));
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null;
}
