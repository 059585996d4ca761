import type { z } from 'zod';
import type { Path } from './path.js';

/** What `placement()`, `trainerName()` and their like say of an option. */
export interface Marks {
  readonly placement?: boolean;
  readonly trainer?: boolean;
  readonly grader?: boolean;
  readonly file?: boolean;
  readonly runsCode?: boolean;
  /** Of the name of a variable: the option beside it with the URL that its value is sent to; empty: not told. */
  readonly secret?: string;
}

/** The names of all marks. */
export const markNames = [
  'placement',
  'trainer',
  'grader',
  'file',
  'runsCode',
  'secret',
] as const satisfies (keyof Marks)[];

/** The parts of a zod schema that are looked at here. They are zod 4's public `def`s, of any copy of zod. */
interface SchemaDefinition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, Schema>>;
  readonly catchall?: Schema;
  readonly element?: Schema;
  readonly valueType?: Schema;
  readonly items?: readonly Schema[];
  readonly options?: readonly Schema[];
  readonly innerType?: Schema;
  readonly in?: Schema;
  readonly out?: Schema;
  readonly getter?: () => Schema;
}

/** A zod schema, by its shape. */
export interface Schema {
  readonly _zod: { readonly def: unknown };
  meta(): unknown;
  safeParse(value: unknown): { readonly success: boolean };
}

/** A schema without its wrappers (optional, default, …), and the marks of all of them. */
interface Settled {
  readonly definition: SchemaDefinition;
  readonly marks: Marks;
}

function settle(schema: Schema, value: unknown): Settled {
  let marks: Marks = {};
  let here = schema;
  for (;;) {
    marks = { ...marks, ...(here.meta() as Marks | undefined) };
    const definition = here._zod.def as SchemaDefinition;
    const next = innerOf(definition, value);
    if (next === undefined) return { definition, marks };
    here = next;
  }
}

function innerOf(definition: SchemaDefinition, value: unknown): Schema | undefined {
  switch (definition.type) {
    case 'pipe': {
      const isTransform = (definition.out!._zod.def as SchemaDefinition).type === 'transform';
      return isTransform ? definition.in : definition.out;
    }
    case 'lazy':
      return definition.getter!();
    case 'union':
      return definition.options!.find((option) => option.safeParse(value).success);
    default:
      return definition.innerType;
  }
}

interface Child {
  readonly key: string | number;
  readonly value: unknown;
  /** Absent for what the schema does not describe. */
  readonly schema?: Schema;
}

function childrenOf(definition: SchemaDefinition, value: unknown): readonly Child[] | undefined {
  const child = (key: string | number, inner: unknown, schema: Schema | undefined): Child =>
    schema === undefined ? { key, value: inner } : { key, value: inner, schema };
  if (Array.isArray(value)) {
    return value.map((item, index) => child(index, item, definition.element ?? definition.items?.[index]));
  }
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return undefined;
  return Object.entries(value).map(([key, inner]) => {
    const known = definition.shape !== undefined && Object.hasOwn(definition.shape, key);
    return child(key, inner, known ? definition.shape![key] : (definition.catchall ?? definition.valueType));
  });
}

/** Returned by a visit: this value is not part of the result. */
export const leaveOut = Symbol('leave out');
/** Returned by a visit: take what is inside, part by part. */
export const descend = Symbol('descend');

/**
 * Rebuilds options part by part. `visit` sees each value with the marks of its schema, and gives what stands in its
 * place, or `leaveOut`, or `descend`.
 */
export function mapOptions(
  schema: Schema | undefined,
  value: unknown,
  visit: (marks: Marks, value: unknown, path: Path) => unknown,
  path: Path = [],
): unknown {
  const { definition, marks }: Settled =
    schema === undefined ? { definition: { type: 'unknown' }, marks: {} } : settle(schema, value);
  const replaced = visit(marks, value, path);
  if (replaced !== descend) return replaced;
  const children = childrenOf(definition, value);
  if (children === undefined) return value;
  const mapped = children
    .map((child) => [child.key, mapOptions(child.schema, child.value, visit, [...path, child.key])] as const)
    .filter(([, inner]) => inner !== leaveOut && inner !== undefined);
  return Array.isArray(value) ? mapped.map(([, inner]) => inner) : Object.fromEntries(mapped);
}

/** Keys of maps inside of options that a schema would drop without a word, with the keys that it knows there. */
export function unknownKeys(
  schema: Schema,
  value: unknown,
  path: Path = [],
): readonly { readonly path: Path; readonly known: readonly string[] }[] {
  const { definition } = settle(schema, value);
  const known = Object.keys(definition.shape ?? {});
  const isSilent = definition.type === 'object' && definition.catchall === undefined;
  return (childrenOf(definition, value) ?? []).flatMap((child) => {
    const childPath = [...path, child.key];
    if (child.schema !== undefined) return unknownKeys(child.schema, child.value, childPath);
    return isSilent ? [{ path: childPath, known }] : [];
  });
}

/** The keys that a schema knows at a path, and the description there. For messages. */
export function schemaAt(
  schema: Schema,
  value: unknown,
  path: readonly PropertyKey[],
): { readonly keys: readonly string[]; readonly description: string | undefined } | undefined {
  let here: Schema | undefined = schema;
  let inside = value;
  let marks: Marks & { readonly description?: string } = {};
  let definition: SchemaDefinition;
  for (let index = 0; ; index++) {
    if (here === undefined) return undefined;
    ({ definition, marks } = settle(here, inside));
    if (index === path.length) break;
    const key = path[index] as string | number;
    inside =
      typeof inside === 'object' && inside !== null ? (inside as Record<string | number, unknown>)[key] : undefined;
    here =
      typeof key === 'string' && definition.shape !== undefined && Object.hasOwn(definition.shape, key)
        ? definition.shape[key]
        : (definition.element ?? definition.valueType ?? definition.items?.[Number(key)]);
  }
  return { keys: keysOf(definition), description: marks.description };
}

/** Of a map; where several forms are possible and none fits, of all of them. */
function keysOf({ shape, options = [] }: SchemaDefinition): readonly string[] {
  return [...Object.keys(shape ?? {}), ...options.flatMap((option) => keysOf(settle(option, undefined).definition))];
}

/** The same schema object as zod's own type. */
export function asSchema(schema: z.ZodType): Schema {
  return schema as unknown as Schema;
}
