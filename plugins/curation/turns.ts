import { parseExactJson, type Row } from 'simmerkit';
import { type DataPlace, dataError, wrongType } from './data-error.js';
import { saysSomething } from './source-row.js';

/** What the roles of conversations are called in the data that people have. */
export const roles: Readonly<Record<string, 'system' | 'user' | 'assistant'>> = {
  system: 'system',
  developer: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  assistant: 'assistant',
  model: 'assistant',
};

/** Roles of turns that say what came of a call. */
const resultRoles: ReadonlySet<string> = new Set(['tool', 'function', 'observation', 'ipython']);

/** The role, in ShareGPT's form, of a turn that is a call, or a list of calls, as JSON. */
const callRole = 'function_call';

/** Fields of a turn that say which tools it calls: OpenAI's, and its former one. */
const callFields = ['tool_calls', 'function_call'] as const;

/** Fields of a turn that have its thinking, from DeepSeek's name to gpt-oss's. */
const thinkingFields = ['reasoning_content', 'reasoning', 'thinking'] as const;

/** A list of turns, which may be JSON text, or one turn. Undefined: it is neither. */
export function turnsIn(value: unknown): readonly unknown[] | undefined {
  const turns = typeof value === 'string' ? jsonIn(value) : value;
  if (Array.isArray(turns)) return turns;
  return roleOf(turns) === undefined ? undefined : [turns];
}

/** Undefined where a text is no JSON. */
export function jsonIn(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

/** system, user, assistant or tool, whatever the data calls it; another role as it is. Undefined: it is no turn. */
export function roleOf(turn: unknown): unknown {
  if (typeof turn !== 'object' || turn === null) return undefined;
  const { role, from } = turn as Row;
  const name = role ?? from ?? undefined;
  if (typeof name !== 'string') return name;
  const known = name.toLowerCase();
  if (known === callRole) return 'assistant';
  return resultRoles.has(known) ? 'tool' : (roles[known] ?? name);
}

export function isReply(turn: unknown): boolean {
  return roleOf(turn) === 'assistant';
}

/** OpenAI's weight of a reply is 0 where it is not to be trained, else 1; others have it of all turns. */
export function weightOf({ weight }: Row): unknown {
  if (!saysSomething(weight)) return 1;
  const number = typeof weight === 'object' ? Number.NaN : Number(weight);
  return Number.isNaN(number) ? weight : number;
}

/** @param weight of a reply that may be trained, as `weightOf` has it @throws UserError `wrong_type` */
export function requireWeight(weight: unknown, place: DataPlace): void {
  if (weight === 0 || weight === 1) return;
  const message = `\`weight\` of a reply is ${JSON.stringify(weight)}, expected 0 or 1.`;
  throw dataError('wrong_type', place, message, 'Write 0 for a reply that is only seen, and no weight for others.');
}

/** Whether a tool is called in a turn, or answers. */
export function isOfTools(turn: Row, role: string): boolean {
  const known = role.toLowerCase();
  return known === callRole || resultRoles.has(known) || callFields.some((field) => saysSomething(turn[field]));
}

/** A turn as OpenAI has it, also one of ShareGPT's, with `from` and `value`. @throws UserError `unknown_role`, `wrong_type` */
export function messageOfTurn(turn: Row, at: string, place: DataPlace): Row {
  const { from, value, ...fields } = turn;
  const role = roleOf(turn);
  if (saysSomething(fields.role) || typeof from !== 'string') return { ...turn, role };
  if (from.toLowerCase() === callRole) return { ...fields, role, content: null, tool_calls: callsIn(value, at, place) };
  if (role !== 'tool' && roles[from.toLowerCase()] === undefined) throw unknownRole(from, place);
  return { ...fields, role, content: value };
}

function callsIn(value: unknown, at: string, place: DataPlace): readonly unknown[] {
  const calls = typeof value === 'string' ? jsonIn(value) : value;
  if (typeof calls !== 'object' || calls === null)
    throw wrongType(`${at}.value`, 'the JSON of a call, with `name` and `arguments`', value, place);
  return Array.isArray(calls) ? calls : [calls];
}

/** Content that is a list of one part, a text, as that text; other content as it is. @throws UserError `wrong_type` */
export function contentIn(content: unknown, at: string, place: DataPlace): unknown {
  if (!Array.isArray(content)) return content;
  const [part, ...more] = content as readonly unknown[];
  if (typeof part === 'object' && part !== null && more.length === 0) {
    const { type, text, ...others } = part as Row;
    if (type === 'text' && typeof text === 'string' && !saysSomething(others)) return text;
  }
  const types = content.map((each: unknown) => (each as Row | null)?.type).filter((type) => typeof type === 'string');
  const what = types.length === 0 ? '' : ` (${types.slice(0, 3).join(', ')})`;
  const message = `\`${at}\` is a list of ${content.length} parts${what}, expected text, or one part that is text.`;
  throw dataError('wrong_type', place, message, 'Join parts of text to one; images and sounds are not trained.');
}

/** The name of the field that has a turn's thinking, if one has. */
export function thinkingField(turn: Row): string | undefined {
  return thinkingFields.find((name) => !saysWhetherThought(name, turn[name]) && saysSomething(turn[name]));
}

/** Whether a field only says whether there was thinking, as some data does by the names that other data has for it. */
export function saysWhetherThought(name: string, value: unknown): boolean {
  return typeof value === 'boolean' && (thinkingFields as readonly string[]).includes(name);
}

export function unknownRole(role: string, place: DataPlace): Error {
  return dataError(
    'unknown_role',
    place,
    `a turn has the role ${JSON.stringify(role)}; known are ${Object.keys(roles).join(', ')}.`,
    'Rename the role in the data, or leave the row out.',
  );
}
