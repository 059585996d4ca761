import type { z } from 'zod';
import type { Path } from './path.js';

/** What `placement()`, `trainerName()` and their like say of an option. */
export interface Marks {
  readonly placement?: boolean;
  readonly trainer?: boolean;
  readonly grader?: boolean;
  readonly file?: boolean;
  readonly folder?: boolean;
  readonly runsCode?: boolean;
  /** Of the name of a variable: the option beside it with the URL that its value is sent to; empty: not told. */
  readonly secret?: string;
  /** Beside `secret`: the variables that the plugin's process gets, and no others. */
  readonly givenSecrets?: readonly string[];
  /** Of what a trainer's backend adds: the option beside it that names the trainer. */
  readonly extensionsFor?: string;
}

/** The names of all marks. */
export const markNames = [
  'placement',
  'trainer',
  'grader',
  'file',
  'folder',
  'runsCode',
  'secret',
  'givenSecrets',
  'extensionsFor',
] as const satisfies (keyof Marks)[];

/** The parts of a zod schema that are looked at here. They are zod 4's public `def`s, of any copy of zod. */
interface SchemaDefinition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, Schema>>;
  readonly catchall?: Schema;
  readonly element?: Schema;
  readonly valueType?: Schema;
  readonly items?: readonly Schema[];
  readonly rest?: Schema | null;
  readonly options?: readonly Schema[];
  readonly innerType?: Schema;
  readonly in?: Schema;
  readonly out?: Schema;
  readonly left?: Schema;
  readonly right?: Schema;
  readonly getter?: () => Schema;
}

/** A zod schema, by its shape. */
interface Schema {
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
    for (const side of sidesOf(definition)) marks = { ...marks, ...settle(side, value).marks };
    const next = innerOf(definition, value);
    if (next === undefined) return { definition, marks };
    here = next;
  }
}

function innerOf(definition: SchemaDefinition, value: unknown): Schema | undefined {
  switch (definition.type) {
    case 'pipe':
      if (sidesOf(definition).length > 0) return undefined;
      return isTransform(definition.out!) ? definition.in : definition.out;
    case 'lazy':
      return definition.getter!();
    case 'union':
      return definition.options!.find((option) => option.safeParse(value).success);
    default:
      return definition.innerType;
  }
}

/** Of an intersection: what a value has to fit at once. Of a pipe of two schemas: what it fits before, and what after. */
function sidesOf({ type, left, right, in: before, out: after }: SchemaDefinition): readonly Schema[] {
  if (type === 'pipe') return isTransform(before!) || isTransform(after!) ? [] : [before!, after!];
  return left === undefined || right === undefined ? [] : [left, right];
}

function isTransform({ _zod }: Schema): boolean {
  return (_zod.def as SchemaDefinition).type === 'transform';
}

/** The schema of what a value has under a key. */
function schemaIn(definition: SchemaDefinition, value: unknown, key: string | number): Schema | undefined {
  const [one, other] = sidesOf(definition).flatMap(
    (side) => schemaIn(settle(side, value).definition, value, key) ?? [],
  );
  if (one !== undefined) return other === undefined ? one : intersection(one, other);
  const { shape, catchall, element, valueType, items, rest } = definition;
  if (typeof key === 'number') return element ?? items?.[key] ?? rest ?? undefined;
  return shape !== undefined && Object.hasOwn(shape, key) ? shape[key] : (catchall ?? valueType);
}

function intersection(left: Schema, right: Schema): Schema {
  return {
    _zod: { def: { type: 'intersection', left, right } },
    meta: () => undefined,
    safeParse: (value) => ({ success: left.safeParse(value).success && right.safeParse(value).success }),
  };
}

interface Child {
  readonly key: string | number;
  readonly value: unknown;
  /** Absent for what the schema does not describe. */
  readonly schema?: Schema;
}

function childrenOf(definition: SchemaDefinition, value: unknown): readonly Child[] | undefined {
  const child = (key: string | number, inner: unknown): Child => {
    const schema = schemaIn(definition, value, key);
    return schema === undefined ? { key, value: inner } : { key, value: inner, schema };
  };
  if (Array.isArray(value)) return value.map((item, index) => child(index, item));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return undefined;
  return Object.entries(value).map(([key, inner]) => child(key, inner));
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

/** What a schema describes and a value leaves out, in the maps inside of it too, with the marks of each. */
export function absentOptions(
  schema: Schema,
  value: unknown,
  path: Path = [],
): readonly { readonly path: Path; readonly marks: Marks }[] {
  const { definition } = settle(schema, value);
  const children = childrenOf(definition, value);
  if (children === undefined) return [];
  const absent = keysOf(definition).flatMap((key) => {
    const inner = children.some((child) => child.key === key) ? undefined : schemaIn(definition, value, key);
    return inner === undefined ? [] : [{ path: [...path, key], marks: settle(inner, undefined).marks }];
  });
  const inside = children.flatMap((child) =>
    child.schema === undefined ? [] : absentOptions(child.schema, child.value, [...path, child.key]),
  );
  return [...absent, ...inside];
}

/** Keys of maps inside of options that a schema would drop without a word, with the keys that it knows there. */
export function unknownKeys(
  schema: Schema,
  value: unknown,
  path: Path = [],
): readonly { readonly path: Path; readonly known: readonly string[] }[] {
  const { definition } = settle(schema, value);
  const known = keysOf(definition);
  const isSilent = dropsUnknownKeys(definition, value);
  return (childrenOf(definition, value) ?? []).flatMap((child) => {
    const childPath = [...path, child.key];
    if (child.schema !== undefined) return unknownKeys(child.schema, child.value, childPath);
    return isSilent ? [{ path: childPath, known }] : [];
  });
}

function dropsUnknownKeys(definition: SchemaDefinition, value: unknown): boolean {
  const sides = sidesOf(definition);
  if (sides.length > 0) return sides.every((side) => dropsUnknownKeys(settle(side, value).definition, value));
  return definition.type === 'object' && definition.catchall === undefined;
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
    here = schemaIn(definition, inside, key);
    inside =
      typeof inside === 'object' && inside !== null ? (inside as Record<string | number, unknown>)[key] : undefined;
  }
  return { keys: keysOf(definition), description: marks.description };
}

/** How deep a key is looked for in a schema, which may contain itself. */
const searchDepth = 4;

/** The maps inside of a map's schema that know a key, the outermost first; not those in lists or under names of the author's. */
export function mapsThatKnow(schema: Schema, key: string, path: Path = []): readonly Path[] {
  if (path.length > searchDepth) return [];
  const shapes = shapesOf(settle(schema, undefined).definition);
  const here = shapes.some((shape) => Object.hasOwn(shape, key)) ? [path] : [];
  const inside = shapes.flatMap((shape) =>
    Object.entries(shape).flatMap(([name, inner]) => mapsThatKnow(inner, key, [...path, name])),
  );
  return [...here, ...inside].sort((left, right) => left.length - right.length);
}

function keysOf(definition: SchemaDefinition): readonly string[] {
  return shapesOf(definition).flatMap(Object.keys);
}

/** Of a map; of all that it has to fit; where several forms are possible and none fits, of all of them. */
function shapesOf(definition: SchemaDefinition): readonly Readonly<Record<string, Schema>>[] {
  const { shape = {}, options = [] } = definition;
  const inner = [...sidesOf(definition), ...options];
  return [shape, ...inner.flatMap((each) => shapesOf(settle(each, undefined).definition))];
}

/** The same schema object as zod's own type. */
export function asSchema(schema: z.ZodType): Schema {
  return schema as unknown as Schema;
}
