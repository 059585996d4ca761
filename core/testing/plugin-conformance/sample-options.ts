import { z } from 'zod';
import { UserError } from '../../errors.js';

type JsonSchema = Readonly<Record<string, unknown>>;

/** Texts of all forms that a schema asks for, the plainest first. On the port of the URL nobody listens. */
const texts = [
  ...[
    'sample',
    'http://127.0.0.1:9/',
    'sample@example.org',
    '127.0.0.1',
    '::1',
    '00000000-0000-4000-8000-000000000000',
  ],
  ...['2026-01-01', '2026-01-01T00:00:00Z', '00:00:00Z', '00:00:00', 'PT1S'],
];

/**
 * Options that fit a schema: its defaults, and something small for what a recipe would have to give, or the first of its
 * `examples`.
 * @throws UserError `no_sample_option` for an option that nothing small fits
 */
export function sampleOptions(schema: z.ZodObject, trainer: string): Record<string, unknown> {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    readonly properties?: Readonly<Record<string, JsonSchema>>;
    readonly required?: readonly string[];
  };
  const given = required.map((name) => {
    const wanted = properties[name] ?? {};
    const candidates = Array.isArray(wanted.examples)
      ? (wanted.examples as readonly unknown[])
      : [sampleValue(wanted, trainer), ...texts];
    const fitting = candidates.find((value) => z.safeParse(schema.shape[name] as z.ZodType, value).success);
    if (fitting !== undefined) return [name, fitting] as const;
    throw new UserError('no_sample_option', `Nothing is known that fits the option "${name}", which has no default.`, {
      kind: 'runFailed',
      hint: 'Give its schema `examples`, in Python `Field(examples=[...])`: the first one that fits is used.',
    });
  });
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
