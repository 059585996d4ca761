import type { OptionProblem, Row, TableArtifact } from 'simmerkit';
import { type DataPlace, dataError, noTurns, requireWholeCharacters, wrongType } from './data-error.js';
import { systemMessages } from './history.js';
import type { LoadOptions, Source } from './load-options.js';
import { LongDecimals, saysSomething } from './source-row.js';
import {
  contentIn,
  isReply,
  jsonIn,
  messageOfTurn,
  requireWeight,
  roleOf,
  saysWhetherThought,
  thinkingField,
  turnsIn,
  weightOf,
} from './turns.js';

/** Of messages with calls of tools. Each tool has arguments of its own, and a column one type: they are JSON text. */
const messageFields =
  '"role" VARCHAR, content VARCHAR, reasoning_content VARCHAR, ' +
  'tool_calls STRUCT(id VARCHAR, "type" VARCHAR, "function" STRUCT("name" VARCHAR, arguments VARCHAR))[], ' +
  '"name" VARCHAR, tool_call_id VARCHAR';

/** Columns of layout chat by their types; the definitions of tools are JSON text, for the same reason. */
const chatColumns: ReadonlyMap<string, string> = new Map([
  ['prompt', `STRUCT(${messageFields})[]`],
  // The weight is 0 where a reply is only seen, else null.
  ['completion', `STRUCT(${messageFields}, weight INTEGER)[]`],
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

/** Fields that layout chat looks for messages in, where a source names none. */
export const chatFields = ['messages', 'conversations', 'prompt', 'completion'] as const;

/**
 * What comes before the first reply to train, and what from it on; of a file that has prompt and completion, these. Lists
 * may be JSON text. The question is what is asked last before the reply. Undefined where nothing is asked, or nobody
 * replies to it.
 * @throws UserError `missing_column`, `wrong_type`
 */
export function fromChat(
  row: Row,
  { turns, replies }: Pick<Source, 'turns' | 'replies'>,
  place: DataPlace,
): Row | undefined {
  const has = (field: string) => (row[field] ?? null) !== null;
  const isApart = turns === undefined && !has('messages') && 'prompt' in row && 'completion' in row;
  const whole = !has('messages') && has('conversations') ? 'conversations' : 'messages';
  const fields = isApart ? ['prompt', 'completion'] : [turns ?? whole].flat();
  const lists = fields.map((field) => messagesOf(row, field, place));
  const messages = lists.flat();
  const promptLength = isApart ? (lists[0]?.length ?? 0) : 0;
  const first = isApart && replies === 'all' ? promptLength : firstTrained(messages, replies, promptLength);
  const system = systemBeside(row, messages[0], place);
  const prompt = [...system.messages, ...messages.slice(system.replaces, Math.max(0, first))];
  const completion = messages.slice(Math.max(0, first));
  const question = prompt.findLast((message) => roleOf(message) === 'user');
  if (question === undefined || first < 0 || !completion.some(isTrained)) return undefined;
  for (const reply of completion.filter(isReply)) requireWeight(weightOf(reply as Row), place);
  return { question: textOf(question as Row, 'question', place), prompt, completion };
}

function messagesOf(row: Row, field: string, place: DataPlace): readonly unknown[] {
  const messages = turnsIn(row[field]);
  if (messages !== undefined) return messages;
  if (row[field] !== undefined) throw noTurns(field, 'a list of messages', row[field], place);
  const has = Object.keys(row).map((name) => `\`${name}\``);
  const hint = 'Set `turns` to the field that has the messages, or correct `layout`.';
  throw dataError('missing_column', place, `there is no field \`${field}\`; there is ${has.join(', ')}.`, hint);
}

/** The first reply behind a prompt that has no weight of 0, and is to a question: to any, or, of the last, to the last. */
function firstTrained(messages: readonly unknown[], replies: Source['replies'], promptLength: number): number {
  const isQuestion = (message: unknown) => roleOf(message) === 'user';
  const last = messages.findLastIndex(isReply);
  const question =
    replies === 'last'
      ? messages.slice(0, Math.max(0, last)).findLastIndex(isQuestion)
      : messages.findIndex(isQuestion);
  if (question < 0) return -1;
  const from = Math.max(question + 1, promptLength);
  return messages.findIndex((message, index) => index >= from && isTrained(message));
}

/** A system message beside the messages, before that among them. */
function systemBeside(row: Row, first: unknown, place: DataPlace) {
  const beside = systemMessages(row.system);
  if (roleOf(first) !== 'system') return { messages: beside, replaces: 0 };
  const among = String(textOf(first as Row, 'system', place) ?? '');
  const [{ content } = { content: among }] = beside;
  if (content === among) return { messages: [], replaces: 0 };
  return { messages: systemMessages([content, among].filter((text) => text.trim() !== '').join('\n\n')), replaces: 1 };
}

function isTrained(message: unknown): boolean {
  return isReply(message) && weightOf(message as Row) !== 0;
}

/** What a turn says, in whatever form. */
function textOf(turn: Row, at: string, place: DataPlace): unknown {
  return contentIn(messageOfTurn(turn, at, place).content, at, place);
}

/** A cell of a column of chats. @throws UserError `wrong_type`, `half_character` */
export function chatCell(value: unknown, column: string, place: DataPlace): unknown {
  if (chatColumns.get(column) === 'VARCHAR') return jsonText(value, column, place);
  return listAt(value, column, place).map((message, index) => {
    const cell: Record<string, unknown> = messageOf(message, `${column}.${index}`, place);
    // Not spread into another one: that takes a fifth of the time of loading chats.
    if (column !== 'prompt') cell.weight = isReply(message) && !isTrained(message) ? 0 : null;
    return cell;
  });
}

/** Options that would say otherwise. */
export function chatProblems({ sources, types }: LoadOptions): readonly OptionProblem[] {
  const chats = Object.entries(sources).filter(([, { layout }]) => layout === 'chat');
  const kept = chats.filter(([, { history }]) => history);
  const typed = chats.length === 0 ? [] : Object.keys(types).filter((column) => chatColumns.has(column));
  const others = Object.entries(sources).filter(([, { layout, replies }]) => layout !== 'chat' && replies === 'last');
  return [
    ...others.map(([name]) => ({
      path: `sources.${name}.replies`,
      code: 'option_without_effect',
      message: 'only layout chat says here which replies are trained.',
      hint: 'Leave `replies` out: of other layouts the last reply is trained, or what `replies` of curation/format says.',
    })),
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
  const turn = messageOfTurn(objectAt(message, at, place), at, place);
  const thinking = thinkingField(turn);
  const thought = thinking === undefined ? null : turn[thinking];
  const { role, content, tool_calls, function_call, name, tool_call_id, ...rest } = turn;
  // A weight has been looked at; thinking may be there by two names.
  const others = Object.entries(rest).filter(
    ([field, value]) => field !== 'weight' && value !== thought && !saysWhetherThought(field, value),
  );
  requireNothing(Object.fromEntries(others), at, place);
  const calls = saysSomething(tool_calls)
    ? listAt(
        typeof tool_calls === 'string' ? (jsonIn(tool_calls) ?? tool_calls) : tool_calls,
        `${at}.tool_calls`,
        place,
      )
    : saysSomething(function_call)
      ? [function_call]
      : [];
  if (typeof role !== 'string') throw wrongType(`${at}.role`, 'text', role, place);
  return {
    role: textAt(role, `${at}.role`, place),
    content: textAt(contentIn(content, `${at}.content`, place), `${at}.content`, place),
    reasoning_content: textAt(thought, `${at}.${thinking}`, place),
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
  const hint =
    'Take it out of the messages. Chats without calls load with `layout: messages`, too, which leaves it out.';
  throw dataError('wrong_type', place, message, hint);
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
