import type { Row } from 'simmerkit';
import { type DataPlace, dataError } from './data-error.js';
import type { Source } from './options.js';

export type Layout = Source['layout'];

/** A row with `question`, `reasoning`, `answer` and `system` from its layout, or the reason that it has none of them. */
export type LaidOut = { readonly row: Row } | { readonly missing: 'single_turn' };

interface Turn {
  readonly role: string;
  readonly text: string;
  readonly reasoning: string | null;
}

/** What the roles of conversations are called in the data that people have. */
const roles: Readonly<Record<string, 'system' | 'user' | 'assistant'>> = {
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

/**
 * Takes a row of a well-known layout apart. Its own fields stay, so that `fields` may name them.
 * @throws UserError `missing_column`, `wrong_type`, `unknown_role`, naming the place
 */
export function layOut(row: Row, layout: Layout, place: DataPlace): LaidOut {
  switch (layout) {
    case 'columns':
      return { row };
    case 'alpaca':
      return { row: { ...row, ...fromAlpaca(row, place) } };
    case 'sharegpt':
      return fromTurns(row, turnsOf(row, { list: 'conversations', role: 'from', text: 'value' }, place), place);
    case 'messages':
      return fromTurns(row, turnsOf(row, { list: 'messages', role: 'role', text: 'content' }, place), place);
  }
}

/** Stanford Alpaca: `instruction`, `input` (may be empty), `output`. */
function fromAlpaca(row: Row, place: DataPlace): Row {
  const instruction = textAt(row, 'instruction', place);
  const input = row.input === undefined || row.input === null ? '' : textAt(row, 'input', place);
  const question = input.trim() === '' ? instruction : `${instruction}\n\n${input}`;
  return { question, ...reply(textAt(row, 'output', place), null), system: row.system ?? null };
}

function fromTurns(row: Row, turns: readonly Turn[], place: DataPlace): LaidOut {
  const named = turns.map((turn) => {
    const role = roles[turn.role.toLowerCase()];
    if (role !== undefined) return { ...turn, role };
    throw dataError(
      'unknown_role',
      place,
      `a turn has the role ${JSON.stringify(turn.role)}; known are ${Object.keys(roles).join(', ')}.`,
      'Rename the role in the data, or leave the row out.',
    );
  });
  const system = named.filter(({ role }) => role === 'system').map(({ text }) => text);
  const [user, assistant, ...more] = named.filter(({ role }) => role !== 'system');
  // One question and its reply: what follows depends on replies that a model would not give itself.
  if (user?.role !== 'user' || assistant?.role !== 'assistant' || more.length > 0) return { missing: 'single_turn' };
  const parts = { question: user.text, ...reply(assistant.text, assistant.reasoning) };
  return { row: { ...row, ...parts, system: system.length === 0 ? null : system.join('\n\n') } };
}

/** Thinking that stands in the text between <think> and </think>, as R1 writes it, is the trace. */
function reply(text: string, reasoning: string | null): Row {
  if (reasoning !== null) return { reasoning, answer: text };
  const thought = /^\s*(?:<think>)?([\s\S]*?)<\/think>([\s\S]*)$/.exec(text);
  if (thought === null) return { reasoning: null, answer: text };
  return { reasoning: (thought[1] ?? '').trim(), answer: (thought[2] ?? '').trim() };
}

interface TurnFields {
  readonly list: string;
  readonly role: string;
  readonly text: string;
}

function turnsOf(row: Row, fields: TurnFields, place: DataPlace): Turn[] {
  const list = row[fields.list];
  if (list === undefined) throw missing(fields.list, row, place);
  if (!Array.isArray(list)) throw wrongType(fields.list, 'a list of turns', list, place);
  return list.map((value: unknown, index) => {
    const at = `${fields.list}.${index}`;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrongType(at, 'an object', value, place);
    const turn = value as Row;
    const { reasoning_content: reasoning } = turn;
    return {
      role: textAt(turn, fields.role, place, at),
      text: textAt(turn, fields.text, place, at),
      reasoning: typeof reasoning === 'string' && reasoning.trim() !== '' ? reasoning : null,
    };
  });
}

function textAt(row: Row, name: string, place: DataPlace, within?: string): string {
  const value = row[name];
  if (value === undefined) throw missing(within === undefined ? name : `${within}.${name}`, row, place);
  if (typeof value !== 'string')
    throw wrongType(within === undefined ? name : `${within}.${name}`, 'text', value, place);
  return value;
}

function missing(name: string, row: Row, place: DataPlace): Error {
  const has = Object.keys(row).map((field) => `\`${field}\``);
  return dataError(
    'missing_column',
    place,
    `there is no field \`${name}\`; there is ${has.join(', ')}.`,
    'Correct `layout` of the source.',
  );
}

function wrongType(name: string, expected: string, value: unknown, place: DataPlace): Error {
  const found = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
  return dataError('wrong_type', place, `\`${name}\` is ${found}, expected ${expected}.`, 'Correct it, or `layout`.');
}
