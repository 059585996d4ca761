import type { Message, Row } from 'simmerkit';
import { type DataPlace, dataError, noTurns, wrongType } from './data-error.js';
import { systemMessages } from './history.js';
import type { Source } from './load-options.js';
import { saysSomething } from './source-row.js';
import {
  contentIn,
  isOfTools,
  isReply,
  requireWeight,
  roles,
  thinkingField,
  turnsIn,
  unknownRole,
  weightOf,
} from './turns.js';
import { chatFields, fromChat } from './whole-chats.js';

/**
 * A row with `question`, `reasoning`, `answer` and `system` from its layout, and `history` where that is kept, or what its
 * conversation is not.
 */
type LaidOut = { readonly row: Row } | { readonly missing: NotLaidOut };

/**
 * `tool_free_turns`: no tool is called in them. `asked_reply`: a reply, and a question before it. `trained_reply`: a last
 * reply that is to be trained.
 */
export type NotLaidOut = 'single_turn' | 'alternating_turns' | 'tool_free_turns' | 'asked_reply' | 'trained_reply';

interface Turn {
  readonly role: string;
  readonly callsTools: boolean;
  readonly text: string;
  readonly reasoning: string | null;
  readonly weight: unknown;
}

/** Fields of chats by which TRL and others have a chat template write more than the messages; layout chat takes `tools`. */
const templateFields = ['tools', 'chat_template_kwargs'] as const;

/** Fields that a layout may look at. */
export function fieldsOfLayout({ layout, turns }: Pick<Source, 'layout' | 'turns'>): readonly string[] {
  switch (layout) {
    case 'columns':
      return [];
    case 'alpaca':
      return ['instruction', 'input', 'output', 'system', 'history'];
    case 'chat':
      return [...[turns ?? chatFields].flat(), 'system', ...templateFields];
    case 'sharegpt':
    case 'messages':
      return [...[turns ?? turnsFields[layout]].flat(), 'system', ...templateFields];
  }
}

const turnsFields = { sharegpt: 'conversations', messages: 'messages' } as const;

/** Fields of templates that say something in a row, and `weight` where a history loses one that is not 0. */
export function unusedFields(
  row: Row,
  { layout, turns, history }: Pick<Source, 'layout' | 'turns' | 'history'>,
): readonly string[] {
  if (layout === 'columns' || layout === 'alpaca') return [];
  const unused = templateFields.filter((name) => !(layout === 'chat' && name === 'tools') && saysSomething(row[name]));
  if (layout === 'chat' || !history) return unused;
  const lists = [turns ?? turnsFields[layout]].flat().flatMap((name) => turnsIn(row[name]) ?? []);
  const weights = lists.filter(isReply).map((reply) => weightOf(reply as Row));
  return weights.some((weight) => weight !== 0 && weight !== 1) ? [...unused, 'weight'] : unused;
}

/**
 * Takes a row of a well-known layout apart. Its own fields stay, so that `fields` may name them.
 * @throws UserError `missing_column`, `wrong_type`, `unknown_role`, naming the place
 */
export function layOut(
  row: Row,
  { layout, history, turns, replies }: Pick<Source, 'layout' | 'history' | 'turns' | 'replies'>,
  place: DataPlace,
): LaidOut {
  switch (layout) {
    case 'columns':
      return { row };
    case 'alpaca':
      return fromAlpaca(row, history, place);
    case 'sharegpt':
      return fromTurns(row, { lists: turns ?? turnsFields[layout], role: 'from', text: 'value' }, history, place);
    case 'chat': {
      const chat = fromChat(row, { turns, replies }, place);
      return chat === undefined ? { missing: 'asked_reply' } : { row: { ...row, ...chat } };
    }
    case 'messages':
      return fromTurns(row, { lists: turns ?? turnsFields[layout], role: 'role', text: 'content' }, history, place);
  }
}

/** Stanford Alpaca: `instruction`, `input` (may be empty), `output`; others added `system`, and `history` of earlier turns. */
function fromAlpaca(row: Row, keepsHistory: boolean, place: DataPlace): LaidOut {
  const instruction = textAt(row, 'instruction', place);
  const input = row.input === undefined ? '' : textAt(row, 'input', place);
  const question = [instruction, input].filter((text) => text.trim() !== '').join('\n\n');
  const system = optionalText(row, 'system', place);
  const parts = { question, ...reply(textAt(row, 'output', place), null), system };
  const former = formerTurns(row, place);
  if (!keepsHistory) return former.length > 0 ? { missing: 'single_turn' } : { row: { ...row, ...parts } };
  return { row: { ...row, ...parts, history: [...systemMessages(system), ...former] } };
}

/** Of `history`, a list of [question, reply]. */
function formerTurns({ history }: Row, place: DataPlace): readonly Message[] {
  if (!Array.isArray(history)) {
    if (!saysSomething(history)) return [];
    throw wrongType('history', 'a list of questions with their replies', history, place);
  }
  return history.flatMap((turn: unknown, index) => {
    const [question, answer, ...more]: unknown[] = Array.isArray(turn) ? turn : [];
    if (typeof question !== 'string' || typeof answer !== 'string' || more.length > 0)
      throw wrongType(`history.${index}`, 'a question and its reply', turn, place);
    return [
      { role: 'user', content: question },
      { role: 'assistant', content: String(reply(answer, null).answer) },
    ];
  });
}

function fromTurns(row: Row, fields: TurnFields, keepsHistory: boolean, place: DataPlace): LaidOut {
  const turns = turnsOf(row, fields, place);
  if (turns.some(({ callsTools }) => callsTools)) return { missing: 'tool_free_turns' };
  const named = turns.map((turn) => {
    const role = roles[turn.role.toLowerCase()];
    if (role !== undefined) return { ...turn, role };
    throw unknownRole(turn.role, place);
  });
  const systemTexts = [
    optionalText(row, 'system', place),
    ...named.filter(({ role }) => role === 'system').map(({ text }) => text),
  ];
  const spoken = named.filter(({ role }) => role !== 'system');
  const [user, assistant] = spoken.slice(-2);
  const alternates = spoken.every(({ role }, index) => role === (index % 2 === 0 ? 'user' : 'assistant'));
  // Without its history a reply depends on others that a model would not give itself.
  const isWhole = alternates && (keepsHistory ? spoken.length % 2 === 0 : spoken.length === 2);
  if (user === undefined || assistant === undefined || !isWhole)
    return { missing: keepsHistory ? 'alternating_turns' : 'single_turn' };
  requireWeight(assistant.weight, place);
  if (assistant.weight === 0) return { missing: 'trained_reply' };
  const system = [...new Set(systemTexts)].filter((text) => text !== null && text.trim() !== '').join('\n\n') || null;
  const parts = { question: user.text, ...reply(assistant.text, assistant.reasoning), system };
  if (!keepsHistory) return { row: { ...row, ...parts } };
  const former = spoken
    .slice(0, -2)
    .map(({ role, text, reasoning, weight }) =>
      role === 'assistant'
        ? { role, content: String(reply(text, reasoning).answer), weight: weight === 0 ? 0 : null }
        : { role, content: text },
    );
  return { row: { ...row, ...parts, history: [...systemMessages(system), ...former] } };
}

/**
 * Thinking that stands in the text is the trace: between <think> and </think>, as R1 writes it, or in the marks of
 * Sky-T1, Bespoke-Stratos and OpenThoughts-114k.
 */
function reply(text: string, reasoning: string | null): Row {
  if (reasoning !== null) return { reasoning, answer: text };
  const thought = /^\s*(?:<think>)?([\s\S]*?)<\/think>([\s\S]*)$/.exec(text);
  if (thought !== null) return { reasoning: (thought[1] ?? '').trim(), answer: (thought[2] ?? '').trim() };
  const marked = /^\s*<\|begin_of_thought\|>([\s\S]*?)<\|end_of_thought\|>([\s\S]*)$/.exec(text);
  if (marked === null) return { reasoning: null, answer: text };
  const answer = (marked[2] ?? '')
    .trim()
    .replace(/^<\|begin_of_solution\|>/, '')
    .replace(/<\|end_of_solution\|>$/, '');
  return { reasoning: (marked[1] ?? '').trim(), answer: answer.trim() };
}

interface TurnFields {
  readonly lists: string | readonly string[];
  readonly role: string;
  readonly text: string;
}

function turnsOf(row: Row, fields: TurnFields, place: DataPlace): Turn[] {
  return [fields.lists].flat().flatMap((name) => turnsOfField(row, name, fields, place));
}

function turnsOfField(row: Row, name: string, fields: TurnFields, place: DataPlace): Turn[] {
  const given = row[name];
  if (given === undefined)
    throw missing(name, row, place, 'Set `turns` to the field that has them, or correct `layout`.');
  if (given === null) return [];
  const list = turnsIn(given);
  if (list === undefined) throw noTurns(name, 'a list of turns', given, place);
  return list.map((value: unknown, index) => {
    const at = `${name}.${index}`;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrongType(at, 'an object', value, place);
    const turn = value as Row;
    const thinking = thinkingField(turn);
    const reasoning = thinking === undefined ? '' : textAt(turn, thinking, place, at);
    const role = textAt(turn, fields.role, place, at);
    // Text beside a call says what is called, or waits for what comes of it.
    const callsTools = isOfTools(turn, role);
    const text = () =>
      textAt(
        { ...turn, [fields.text]: contentIn(turn[fields.text], `${at}.${fields.text}`, place) },
        fields.text,
        place,
        at,
      );
    return {
      role,
      callsTools,
      text: callsTools ? '' : text(),
      reasoning: reasoning.trim() === '' ? null : reasoning,
      weight: weightOf(turn),
    };
  });
}

/** The text of a field; where there is none, an empty one. */
function textAt(row: Row, name: string, place: DataPlace, within?: string): string {
  const value = row[name] === null ? '' : row[name];
  if (value === undefined) throw missing(within === undefined ? name : `${within}.${name}`, row, place);
  if (typeof value !== 'string')
    throw wrongType(within === undefined ? name : `${within}.${name}`, 'text', value, place);
  return value;
}

/** The text of a field that a row may lack; null where it says nothing. */
function optionalText(row: Row, name: string, place: DataPlace): string | null {
  return typeof row[name] === 'string' || saysSomething(row[name]) ? textAt(row, name, place) : null;
}

function missing(name: string, row: Row, place: DataPlace, hint = 'Correct `layout` of the source.'): Error {
  const has = Object.keys(row).map((field) => `\`${field}\``);
  return dataError('missing_column', place, `there is no field \`${name}\`; there is ${has.join(', ')}.`, hint);
}
