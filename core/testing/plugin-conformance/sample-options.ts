import { z } from 'zod';

type JsonSchema = Readonly<Record<string, unknown>>;

/** Options that fit a schema: its defaults, and something small for what a recipe would have to give. */
export function sampleOptions(schema: z.ZodObject, trainer: string): Record<string, unknown> {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    readonly properties?: Readonly<Record<string, JsonSchema>>;
    readonly required?: readonly string[];
  };
  const given = required.map((name) => [name, sampleValue(properties[name] ?? {}, trainer)] as const);
  return schema.parse(Object.fromEntries(given)) as Record<string, unknown>;
}

function sampleValue(schema: JsonSchema, trainer: string): unknown {
  if (schema.trainer === true) return trainer;
  if ('const' in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (Array.isArray(schema.anyOf)) return sampleValue(schema.anyOf[0] as JsonSchema, trainer);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'integer':
    case 'number': {
      const least = Number(schema.minimum ?? schema.exclusiveMinimum ?? 1);
      return Math.max(
        schema.exclusiveMinimum === undefined ? least : least + 1,
        Math.min(1, Number(schema.maximum ?? 1)),
      );
    }
    case 'boolean':
      return false;
    case 'array':
      return Array.from({ length: Number(schema.minItems ?? 0) }, () =>
        sampleValue((schema.items ?? {}) as JsonSchema, trainer),
      );
    case 'object': {
      const properties = (schema.properties ?? {}) as Readonly<Record<string, JsonSchema>>;
      const required = (schema.required ?? []) as readonly string[];
      return Object.fromEntries(required.map((name) => [name, sampleValue(properties[name] ?? {}, trainer)]));
    }
    default:
      return 'sample'.padEnd(Number(schema.minLength ?? 0), 'x');
  }
}
