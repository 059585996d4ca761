import { nearestName, type Row } from 'simmerkit';
import { type DataPlace, dataError, requireWholeCharacters } from './data-error.js';
import { type FormerMessage, historyOf } from './history.js';
import { fieldsOfLayout, layOut, type NotLaidOut } from './layouts.js';
import { type Field, fieldInBraces, type LoadOptions, type Source } from './load-options.js';
import { LongDecimals } from './source-row.js';
import { areMessages, chatCell, chatTypeOf, columnsOfLayout } from './whole-chats.js';

/** Columns of every loaded dataset besides `id` and `source`, from fields of the same name where nothing is said. */
const sharedColumns = ['question', 'reasoning', 'answer', 'domain'] as const;

const isShared = (column: string) => (sharedColumns as readonly string[]).includes(column);

type ColumnType = LoadOptions['types'][string];

/**
 * A row of the dataset; where it lacks a required column, what was mapped before that. `from`: what it was mapped from,
 * where its layout could be taken apart.
 */
export interface Mapped {
  readonly from?: Row;
  readonly row: Row;
  readonly missing?: string;
  /** Fields beside a conversation that other columns are taken from: whether the row has each, which else it says itself. */
  readonly beside?: ReadonlyMap<string, boolean>;
}

/** Maps rows of one source to columns. @throws SyntaxError for a pattern that is no regular expression */
export function fieldMapper(
  source: Source,
  options: Pick<LoadOptions, 'sources' | 'types' | 'required' | 'missing'>,
): (row: Row, place: DataPlace) => Mapped {
  const columns = columnsOf(source).map((column) => {
    const field: Field | undefined = source.fields[column];
    const take = field === undefined ? takeOptional(column) : takeField(column, field);
    const isRequired = (options.required as readonly string[]).includes(column);
    const type = options.types[column] ?? 'VARCHAR';
    const toCell =
      chatTypeOf(column, options) === undefined
        ? (value: unknown, place: DataPlace) => convert(value, type, column, place)
        : (value: unknown, place: DataPlace) => chatCell(value, column, place);
    return { column, take, isRequired, toCell };
  });
  const besideOf = fieldsBeside(source);
  return (read, place) => {
    const laidOut = layOut(read, source, place);
    if ('missing' in laidOut) {
      if (options.missing === 'drop') return { ...laidOut, row: {} };
      throw notLaidOut(laidOut.missing, place);
    }
    const { row } = laidOut;
    // The answer beside a chat, for example, is the right one, and not the reply: also where it is null.
    const ownColumns = row === read ? [] : sharedColumns.filter((column) => Object.hasOwn(read, column));
    const own =
      ownColumns.length === 0
        ? row
        : { ...row, ...Object.fromEntries(ownColumns.map((column) => [column, read[column]])) };
    const mapped: Record<string, unknown> = source.history
      ? { history: historyOf(row).map((message) => wellFormed(message, place)) }
      : {};
    for (const { column, take, isRequired, toCell } of columns) {
      const value = take(isShared(column) ? row : own, place, isRequired && options.missing === 'drop');
      const cell = value === null ? null : toCell(value, place);
      if (isRequired && isEmpty(cell)) {
        if (options.missing === 'drop') return { from: row, missing: column, row: mapped };
        throw missingValue(column, source.fields[column], row, place);
      }
      mapped[column] = cell;
    }
    const beside = new Map(besideOf.map((name) => [name, Object.hasOwn(read, name)]));
    return { from: row, row: mapped, beside };
  };
}

/** Fields that a conversation gives, too, and that a column of another name is taken from. */
function fieldsBeside({ layout, fields }: Source): readonly string[] {
  if (layout === 'columns') return [];
  const others = Object.entries(fields).filter(([column]) => !isShared(column));
  const names = others.flatMap(([column, field]) => fieldNamesOf(column, field));
  return sharedColumns.filter((name) => names.includes(name));
}

function notLaidOut(missing: NotLaidOut, place: DataPlace): Error {
  const drop = '`missing: drop` to leave such rows out';
  switch (missing) {
    case 'single_turn':
      return dataError(
        'several_turns',
        place,
        'the conversation is not one question and one reply.',
        `Set \`history: true\` on the source to keep the turns before the last question, or ${drop}.`,
      );
    case 'alternating_turns':
      return dataError(
        'turns_do_not_alternate',
        place,
        'the conversation is not questions and replies in turn, with a reply at its end.',
        `Load such chats whole (\`layout: chat\`), which may begin with a reply, or set ${drop}.`,
      );
    case 'tool_free_turns':
      return dataError(
        'tool_turns',
        place,
        'a tool is called in the conversation.',
        `Load such chats whole (\`layout: chat\`), which sft/train takes as they are, or set ${drop}.`,
      );
    case 'trained_reply':
      return dataError(
        'no_reply',
        place,
        'the last reply has the weight 0: it is not to be trained.',
        `Load such chats whole (\`layout: chat\`), of which the other replies are trained, or set ${drop}.`,
      );
    case 'asked_reply':
      return dataError(
        'no_reply',
        place,
        'there is no message of the role `user` with one of the role `assistant` after it that is to be trained.',
        `Write messages with \`role\` and \`content\`, or \`from\` and \`value\`, and with these roles, or set ${drop}.`,
      );
  }
}

function wellFormed({ role, content, weight = null }: FormerMessage, place: DataPlace): FormerMessage {
  return { role, content: String(convert(content, 'VARCHAR', 'history', place)), weight };
}

/** Whether a source takes a row: each field of `where` is there and matches. */
export function rowFilter({ where }: Source): (row: Row) => boolean {
  const conditions = Object.entries(where).map(([name, pattern]) => ({ name, expression: new RegExp(pattern, 'i') }));
  const nowhere: DataPlace = { file: '' };
  return (row) =>
    conditions.every(({ name, expression }) => {
      const value = reach(row, name, name, nowhere, true);
      return value !== null && expression.test(String(value));
    });
}

/** The shared columns, then those that its layout and the source itself add. */
export function columnsOf(source: Source): readonly string[] {
  const added = [...columnsOfLayout(source), ...Object.keys(source.fields)];
  return [...new Set([...sharedColumns, ...added])].filter((column) => column !== 'id');
}

/** Whether a field of a file, with what is in it, may be looked at. */
export function fieldReader(source: Source): (name: string) => boolean {
  const names = [
    ...columnsOf(source).flatMap((column) => fieldNamesOf(column, source.fields[column])),
    ...Object.keys(source.where),
    ...fieldsOfLayout(source),
  ];
  return (name) => names.some((path) => path === name || path.startsWith(`${name}.`));
}

/** Required columns that the recipe takes from a field of its own choice: some row of the source must have it. */
export function columnsToFind({ fields }: Source, { required }: Pick<LoadOptions, 'required'>): readonly string[] {
  return required.filter((column) => {
    const field = fields[column];
    return field !== undefined && (typeof field === 'string' || (!('value' in field) && !field.optional));
  });
}

/** The names, or the paths, of the fields that a column is taken from. */
export function fieldNamesOf(column: string, field: Field | undefined): readonly string[] {
  if (field === undefined || (typeof field === 'object' && 'value' in field)) return [column];
  if (typeof field === 'string') return [field];
  return 'field' in field ? [field.field] : namesIn(field.template);
}

/** The columns that a recipe takes from a field beside a conversation, and not from what that says. */
export function columnsFrom(name: string, { fields }: Source): readonly string[] {
  return Object.keys(fields).filter(
    (column) => !isShared(column) && fieldNamesOf(column, fields[column]).includes(name),
  );
}

const everyFieldInBraces = new RegExp(fieldInBraces, 'g');

function namesIn(template: string): readonly string[] {
  return [...template.matchAll(everyFieldInBraces)].map(([, name]) => name ?? '');
}

type Take = (row: Row, place: DataPlace, mayLack: boolean) => unknown;

function takeOptional(column: string): Take {
  return (row) => row[column] ?? null;
}

function takeField(column: string, field: Field): Take {
  if (typeof field === 'string') return (row, place, mayLack) => reach(row, field, column, place, mayLack);
  if ('value' in field) return () => field.value;
  if ('template' in field) return takeTemplate(column, field);
  const pattern = field.pattern === undefined ? undefined : new RegExp(field.pattern);
  const removals = field.remove.map((expression) => new RegExp(expression, 'g'));
  return (row, place, mayLack) => {
    const value = reach(row, field.field, column, place, mayLack || field.optional);
    if (value === null || (pattern === undefined && removals.length === 0)) return value;
    const text = String(convert(value, 'VARCHAR', column, place));
    const match = pattern === undefined ? [text] : pattern.exec(text);
    if (match === null) {
      if (mayLack || field.optional) return null;
      throw dataError(
        'pattern_not_found',
        place,
        `field \`${field.field}\` does not match the pattern of column \`${column}\` (${field.pattern}): "${text.slice(-80)}".`,
        'Correct the pattern, set `optional: true` on the field, or `missing: drop` to leave such rows out.',
      );
    }
    return removals.reduce((rest, expression) => rest.replace(expression, ''), match[1] ?? match[0] ?? '');
  };
}

/** Null where one of the fields is empty or not there: half a text is none. */
function takeTemplate(column: string, { template, optional }: Extract<Field, { template: string }>): Take {
  const names = namesIn(template);
  return (row, place, mayLack) => {
    const values = new Map<string, unknown>();
    for (const name of names) {
      const value = reach(row, name, column, place, mayLack || optional);
      if (isEmpty(value)) return null;
      values.set(name, convert(value, 'VARCHAR', column, place));
    }
    return template.replace(everyFieldInBraces, (_, name: string) => String(values.get(name)));
  };
}

function reach(row: Row, name: string, column: string, place: DataPlace, mayLack: boolean): unknown {
  const value = fieldIn(row, name);
  if (value === undefined && !mayLack) throw missingField(name, column, row, place);
  return value ?? null;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

/** A field by its name, or by a path of names and positions. Undefined: it is not there. */
export function fieldIn(row: Row, name: string): unknown {
  if (Object.hasOwn(row, name)) return row[name] ?? null;
  let value: unknown = row;
  for (const part of name.split('.')) {
    if (value instanceof LongDecimals) return value;
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value ?? null;
}

function convert(value: unknown, type: ColumnType, column: string, place: DataPlace): unknown {
  if (type === 'VARCHAR') {
    if (typeof value === 'string') {
      requireWholeCharacters(value, column, place);
      return value;
    }
    if (typeof value === 'bigint' || typeof value === 'boolean' || Number.isFinite(value)) return String(value);
  } else if (type === 'BOOLEAN') {
    if (typeof value === 'boolean') return value;
    if (value === 'true' || value === 'false') return value === 'true';
  } else if (typeof value !== 'object') {
    const number = typeof value === 'string' ? numberIn(value, type) : Number(value);
    if (type === 'DOUBLE' ? Number.isFinite(number) : Number.isSafeInteger(number)) return number;
  }
  const isText = type === 'VARCHAR';
  throw dataError(
    'wrong_type',
    place,
    `column \`${column}\` is ${type}, and this is ${kindOf(value)}.`,
    isText && (value instanceof Uint8Array || value instanceof LongDecimals)
      ? 'Write the column as text (UTF-8).'
      : isText && typeof value === 'number'
        ? 'Write null where there is no number, and one that is too large as a text.'
        : areMessages(value)
          ? 'Set `layout: chat` of the source for lists of messages, or name a part of it (`field: prompt.0.content`).'
          : 'Name a part of it (`field: traces.0`), or correct `types`.',
  );
}

/** No two parts of these take the same digits: a long text is gone through once. */
const decimalNumber = /^\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?\s*$/i;
const decimalParts = /^\s*[-+]?(\d*)\.?(\d*)(?:e([-+]?\d+))?\s*$/i;

/** The number that a text says; NaN where it says none of the type. JavaScript takes more for numbers: "0x10", and "". */
function numberIn(text: string, type: ColumnType): number {
  if (!decimalNumber.test(text) || (type === 'BIGINT' && !isWhole(text))) return Number.NaN;
  return Number(text);
}

/** A number of many digits that has a fraction might be rounded to a whole one. */
function isWhole(text: string): boolean {
  const [, whole = '', fraction = '', exponent = '0'] = decimalParts.exec(text) ?? [];
  const digits = `${whole}${fraction}`;
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return end === 0 || Number(exponent) - fraction.length + digits.length - end >= 0;
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof LongDecimals) return 'made of decimal numbers of more than 38 digits';
  return typeof value === 'object' ? 'an object' : JSON.stringify(String(value));
}

export function fieldNames(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}

function missingField(name: string, column: string, row: Row, place: DataPlace): Error {
  const { whole, names } = deepest(row, name);
  const has = `${whole === '' ? 'the row' : `\`${whole}\``} has ${fieldNames(names)}`;
  const paths = names.map((each) => (whole === '' ? each : `${whole}.${each}`));
  return dataError(
    'missing_column',
    place,
    `there is no field \`${name}\` for column \`${column}\`; ${has}.`,
    fieldHint(name, paths),
  );
}

/** The path as far as it leads, and what is there. */
function deepest(row: Row, name: string): { readonly whole: string; readonly names: readonly string[] } {
  const parts = name.split('.');
  for (let length = parts.length - 1; length > 0; length--) {
    const whole = parts.slice(0, length).join('.');
    const value = fieldIn(row, whole);
    if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
      return { whole, names: Object.keys(value) };
  }
  return { whole: '', names: Object.keys(row) };
}

/** What to do about a field that is not there. */
export function fieldHint(name: string, names: readonly string[]): string {
  if (fieldInBraces.test(name)) return `For a text of several fields, write \`{ template: ${JSON.stringify(name)} }\`.`;
  const nearest = nearestName(name, names);
  const meant = nearest === undefined ? '' : `Did you mean \`${nearest}\`? `;
  return `${meant}Correct \`fields\` of the source, or set \`optional: true\` on the field.`;
}

function missingValue(column: string, field: Field | undefined, row: Row, place: DataPlace): Error {
  const names = fieldNamesOf(column, field);
  const name = names.find((each) => isEmpty(fieldIn(row, each))) ?? names[0] ?? column;
  const value = fieldIn(row, name);
  if (value !== undefined) {
    const isCut = !isEmpty(value);
    const message = isCut ? `nothing is left of \`${name}\` for column \`${column}\`.` : `\`${name}\` is empty.`;
    const first = isCut ? 'Correct `pattern` or `remove` of the field' : 'Fill it in';
    return dataError('value_missing', place, message, `${first}, or set \`missing: drop\` to leave such rows out.`);
  }
  return dataError(
    'missing_column',
    place,
    `the row has no \`${column}\`; it has ${fieldNames(Object.keys(row))}.`,
    `Say which field it is (\`fields: {${column}: NAME}\`), or set \`missing: drop\` to leave such rows out.`,
  );
}
