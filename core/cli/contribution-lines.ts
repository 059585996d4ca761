import type { Colors } from 'picocolors/types.js';
import type { NamedContribution } from '../plugin/named-contribution.js';
import { wrapText } from '../wrap-text.js';

/** The parts of a JSON Schema that zod and pydantic write and that are told here. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

/** An input or an output of a stage. */
interface Port {
  readonly type?: string;
  readonly types?: readonly string[];
  readonly optional?: boolean;
  readonly many?: boolean;
  readonly description?: string;
}

/** One name of a list: what it takes, and what it is for; what is inside of it comes after, further in. */
interface Entry {
  readonly name: string;
  readonly type: string;
  /** `required`, `default 5`, or empty: it may be left out. */
  readonly presence: string;
  readonly description: string;
  readonly inside: readonly Entry[];
}

type List = readonly [title: string, entries: readonly Entry[]];

interface ContributionLinesOptions {
  readonly width: number;
  readonly colors: Colors;
}

/** A contribution for people: what it is for, its inputs and outputs, and its options with all that is inside of them. */
export function contributionLines(
  { uses, kind, source, version, description, inputs, outputs, options }: NamedContribution,
  { width, colors }: ContributionLinesOptions,
): readonly string[] {
  const from = source === 'built-in' ? '' : colors.dim(`, ${source} ${version}`);
  const ports: readonly List[] =
    kind === 'stage'
      ? [
          ['inputs', portEntries(inputs)],
          ['outputs', portEntries(outputs)],
        ]
      : [];
  const lists: readonly List[] = [...ports, ['options', entriesInside(withoutReferences(options as Schema))]];
  return [
    `${colors.bold(uses)}, a ${kind}${from}`,
    ...wrapText(description, width),
    ...lists.flatMap(([title, entries]) =>
      entries.length === 0
        ? ['', colors.dim(`no ${title}`)]
        : ['', colors.dim(title), ...entryLines(entries, '  ', { width, colors })],
    ),
  ];
}

function entryLines(
  entries: readonly Entry[],
  indent: string,
  { width, colors }: ContributionLinesOptions,
): readonly string[] {
  return entries.flatMap(({ name, type, presence, description, inside }) => {
    const below = `${indent}    `;
    const room = width - below.length;
    const head = `${colors.bold(name)}: ${type}${presence === '' ? '' : `, ${presence}`}`;
    const [first, ...rest] = wrapText(head, room);
    const told = description === '' ? [] : wrapText(description, room);
    return [
      indent + first,
      ...[...rest, ...told].map((line) => below + line),
      ...entryLines(inside, `${indent}  `, { width, colors }),
    ];
  });
}

function portEntries(ports: unknown): readonly Entry[] {
  return Object.entries((ports ?? {}) as Readonly<Record<string, Port>>).map(([name, port]) => {
    const type = port.type ?? (port.types ?? []).join(' | ');
    return {
      name,
      type: port.many ? `[${type}]` : type,
      presence: port.optional === false ? 'required' : '',
      description: port.description ?? '',
      inside: [],
    };
  });
}

/** The properties of an object, of the items of a list, of the values of a map, and of each of several forms. */
function entriesInside(schema: Schema): readonly Entry[] {
  const { properties = {}, required = [], items, additionalProperties } = schema;
  const inner = [items, additionalProperties, ...formsOf(schema)].filter((one) => typeof one === 'object');
  return [
    ...Object.entries(properties).map(([name, property]) => ({
      name,
      type: typeOf(property),
      presence: presenceOf(property, required.includes(name)),
      description: property.description ?? '',
      inside: entriesInside(property),
    })),
    ...inner.flatMap(entriesInside),
  ];
}

/** Each reference replaced by what it stands for; inside of that one it is anything, so that no schema is endless. */
function withoutReferences({ $ref, $defs, ...own }: Schema, definitions = $defs ?? {}): Schema {
  if ($ref !== undefined) {
    const { [$ref.replace('#/$defs/', '')]: definition, ...others } = definitions;
    return { ...withoutReferences(definition ?? {}, others), ...own };
  }
  const settle = (schema: Schema) => withoutReferences(schema, definitions);
  const { properties, items, additionalProperties, anyOf, oneOf } = own;
  return {
    ...own,
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, settle(inner)])),
    }),
    ...(typeof additionalProperties === 'object' && { additionalProperties: settle(additionalProperties) }),
    ...(items && { items: settle(items) }),
    ...(anyOf && { anyOf: anyOf.map(settle) }),
    ...(oneOf && { oneOf: oneOf.map(settle) }),
  };
}

function presenceOf(schema: Schema, isRequired: boolean): string {
  if (schema.default !== undefined) return `default ${literal(schema.default)}`;
  return isRequired ? 'required' : '';
}

/** "text", "integer 1 to 64", "s1 | none", "[text]" of a list, "{NAME: text}" of a map, "{start, end}" of an object. */
function typeOf(schema: Schema): string {
  const { const: constant, enum: values, type, properties, additionalProperties, items } = schema;
  if (constant !== undefined) return literal(constant);
  if (values !== undefined) return values.map(literal).join(' | ');
  const forms = formsOf(schema);
  if (forms.length > 0) return [...new Set(forms.map(typeOf))].join(' | ');
  if (properties !== undefined) {
    const names = Object.keys(properties);
    return names.length > 4 ? '{…}' : `{${names.join(', ')}}`;
  }
  if (typeof additionalProperties === 'object') return `{NAME: ${typeOf(additionalProperties)}}`;
  if (type === 'array') return `[${items === undefined ? 'any' : typeOf(items)}]`;
  const words = [type ?? 'any'].flat().map((one) => (one === 'string' ? 'text' : one));
  return words.join(' | ') + rangeOf(schema);
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Schema): string {
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum !== undefined && most !== undefined) return ` ${minimum} to ${most}`;
  const limits = [
    ...(minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? [] : [`from ${minimum}`]),
    ...(exclusiveMinimum === undefined ? [] : [`above ${exclusiveMinimum}`]),
    ...(most === undefined ? [] : [`up to ${most}`]),
    ...(exclusiveMaximum === undefined ? [] : [`below ${exclusiveMaximum}`]),
  ];
  return limits.length === 0 ? '' : ` ${limits.join(' ')}`;
}

function formsOf({ anyOf, oneOf }: Schema): readonly Schema[] {
  return anyOf ?? oneOf ?? [];
}

/** A plain word as a recipe has it, anything else as JSON, which YAML reads too. */
function literal(value: unknown): string {
  return typeof value === 'string' && /^[\w./-]+$/.test(value) ? value : JSON.stringify(value);
}
