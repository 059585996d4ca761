import { type OptionProblem, parseExactJson, type Row, type TableArtifact } from 'simmerkit';
import { type DataPlace, dataError, requireWholeCharacters, wrongType } from './data-error.js';
import { systemMessages } from './history.js';
import type { LoadOptions, Source } from './load-options.js';
import { LongDecimals, saysSomething } from './source-row.js';

/** Messages with calls of tools. Each tool has arguments of its own, and a column one type: they are JSON text. */
const chatType =
  'STRUCT("role" VARCHAR, content VARCHAR, reasoning_content VARCHAR, ' +
  'tool_calls STRUCT(id VARCHAR, "type" VARCHAR, "function" STRUCT("name" VARCHAR, arguments VARCHAR))[], ' +
  '"name" VARCHAR, tool_call_id VARCHAR)[]';

/** Columns of layout chat by their types; the definitions of tools are JSON text, for the same reason. */
const chatColumns: ReadonlyMap<string, string> = new Map([
  ['prompt', chatType],
  ['completion', chatType],
  ['tools', 'VARCHAR'],
]);

/** Whether rows of a table may be whole chats: what `curation/format` writes has no calls. */
export function hasWholeChats({ columns }: Pick<TableArtifact, 'columns'>): boolean {
  return columns.prompt?.includes('tool_calls') === true;
}

/** The columns that a layout adds. */
export function columnsOfLayout({ layout }: Pick<Source, 'layout'>): readonly string[] {
  return layout === 'chat' ? [...chatColumns.keys()] : [];
}

/** The type of a column of chats; undefined where no source has such, or the column is another one. */
export function chatTypeOf(column: string, { sources }: Pick<LoadOptions, 'sources'>): string | undefined {
  return Object.values(sources).some(({ layout }) => layout === 'chat') ? chatColumns.get(column) : undefined;
}

/**
 * What comes before the first reply, and what from it on; of a file that has prompt and completion, these. Lists may be
 * JSON text. The question is what is asked last before the reply. Undefined where nothing is asked, or nobody replies.
 * @throws UserError `missing_column`, `wrong_type`
 */
export function fromChat(row: Row, { turns }: Pick<Source, 'turns'>, place: DataPlace): Row | undefined {
  const isApart = turns === undefined && (row.messages ?? null) === null && 'prompt' in row && 'completion' in row;
  const fields = isApart ? ['prompt', 'completion'] : [turns ?? 'messages'].flat();
  const lists = fields.map((field) => {
    const list = row[field];
    const messages = typeof list === 'string' ? jsonIn(list) : list;
    if (Array.isArray(messages)) return messages as readonly unknown[];
    const has = Object.keys(row).map((name) => `\`${name}\``);
    const hint = 'Set `turns` to the field that has the messages, or correct `layout`.';
    if (list === undefined)
      throw dataError('missing_column', place, `there is no field \`${field}\`; there is ${has.join(', ')}.`, hint);
    throw wrongType(field, 'a list of messages', list, place);
  });
  const messages = lists.flat();
  const first = isApart ? (lists[0]?.length ?? 0) : messages.findIndex((message) => roleOf(message) === 'assistant');
  const system = roleOf(messages[0]) === 'system' ? [] : systemMessages(row.system);
  const prompt = [...system, ...messages.slice(0, Math.max(0, first))];
  const completion = messages.slice(first);
  const question = prompt.findLast((message) => roleOf(message) === 'user');
  if (question === undefined || !completion.some((message) => roleOf(message) === 'assistant')) return undefined;
  return { question: (question as Row).content, prompt, completion };
}

/** A cell of a column of chats. @throws UserError `wrong_type`, `half_character` */
export function chatCell(value: unknown, column: string, place: DataPlace): unknown {
  if (chatColumns.get(column) === 'VARCHAR') return jsonText(value, column, place);
  return listAt(value, column, place).map((message, index) => messageOf(message, `${column}.${index}`, place));
}

/** Options that would say otherwise. */
export function chatProblems({ sources, types }: LoadOptions): readonly OptionProblem[] {
  const chats = Object.entries(sources).filter(([, { layout }]) => layout === 'chat');
  const kept = chats.filter(([, { history }]) => history);
  const typed = chats.length === 0 ? [] : Object.keys(types).filter((column) => chatColumns.has(column));
  return [
    ...kept.map(([name]) => ({
      path: `sources.${name}.history`,
      code: 'option_without_effect',
      message: 'layout chat keeps all messages, in prompt and completion.',
      hint: 'Leave `history` out.',
    })),
    ...typed.map((column) => ({
      path: `types.${column}`,
      code: 'option_without_effect',
      message: `layout chat says what \`${column}\` is.`,
      hint: `Leave \`types.${column}\` out.`,
    })),
  ];
}

function messageOf(message: unknown, at: string, place: DataPlace): Row {
  const { role, content, reasoning_content, tool_calls, name, tool_call_id, ...others } = objectAt(message, at, place);
  requireNothing(others, at, place);
  const calls = tool_calls === undefined || tool_calls === null ? [] : listAt(tool_calls, `${at}.tool_calls`, place);
  if (typeof role !== 'string') throw wrongType(`${at}.role`, 'text', role, place);
  return {
    role: textAt(role, `${at}.role`, place),
    content: textAt(content, `${at}.content`, place),
    reasoning_content: textAt(reasoning_content, `${at}.reasoning_content`, place),
    tool_calls:
      calls.length === 0 ? null : calls.map((call, index) => callOf(call, `${at}.tool_calls.${index}`, place)),
    name: textAt(name, `${at}.name`, place),
    tool_call_id: textAt(tool_call_id, `${at}.tool_call_id`, place),
  };
}

/** Some calls have name and arguments without `function` around them. */
function callOf(call: unknown, at: string, place: DataPlace): Row {
  const { id, type, function: given = null, ...rest } = objectAt(call, at, place);
  const { name, arguments: values, ...others } = given === null ? rest : objectAt(given, at, place);
  requireNothing(given === null ? others : { ...others, ...rest }, at, place);
  return {
    id: textAt(id, `${at}.id`, place),
    type: textAt(type, `${at}.type`, place) ?? 'function',
    function: {
      name: textAt(name, `${at}.name`, place),
      arguments: jsonText(values ?? {}, `${at}.arguments`, place),
    },
  };
}

/** What a message says in a field of its own would be lost. */
function requireNothing(others: Row, at: string, place: DataPlace): void {
  const [name] = Object.entries(others).find(([, value]) => saysSomething(value)) ?? [];
  if (name === undefined) return;
  const message = `\`${at}\` has the field \`${name}\`, which layout chat does not keep.`;
  throw dataError('wrong_type', place, message, 'Take it out of the messages.');
}

/**
 * JSON text, as it is given, or of a value without what is null: files of columns fill it in. Numbers that are too long for
 * JavaScript were read as text.
 */
function jsonText(value: unknown, at: string, place: DataPlace): string | null {
  if (typeof value === 'string') return textAt(value, at, place);
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === 'string') return textAt(part, at, place);
    if (typeof part === 'bigint') return Number.isSafeInteger(Number(part)) ? Number(part) : String(part);
    if (
      part instanceof Uint8Array ||
      part instanceof LongDecimals ||
      (typeof part === 'number' && !Number.isFinite(part))
    )
      throw wrongType(at, 'what JSON can hold', part, place);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).filter(([, item]) => item !== null));
  });
}

/** Undefined where a text is no JSON. */
function jsonIn(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

function textAt(value: unknown, at: string, place: DataPlace): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw wrongType(at, 'text', value, place);
  requireWholeCharacters(value, at, place);
  return value;
}

function listAt(value: unknown, at: string, place: DataPlace): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrongType(at, 'a list', value, place);
}

function objectAt(value: unknown, at: string, place: DataPlace): Row {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  throw wrongType(at, 'an object', value, place);
}

/** Whether a value is a list of messages. */
export function areMessages(value: unknown): boolean {
  return Array.isArray(value) && roleOf(value[0]) !== undefined;
}

function roleOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'role' in message ? message.role : undefined;
}
