import type { Columns, OptionProblem, Row } from 'simmerkit';
import type { LoadOptions } from './load-options.js';
import type { FormatOptions } from './options.js';
import { problemId } from './problem-id.js';

/** One turn of a conversation, as chat templates take it. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** Type of a column of messages. */
export const messagesType = 'STRUCT("role" VARCHAR, content VARCHAR)[]';

/** The messages before the question of a row that `curation/load` made; none where it kept no history. */
export function historyOf(row: Row): readonly Message[] {
  return Array.isArray(row.history) ? row.history : [];
}

/** Whether a table's `history` is one, and no column of somebody else's. */
export function hasHistory({ columns }: { readonly columns: Columns }): boolean {
  return columns.history === messagesType;
}

/** Gives the history of a table's rows. */
export function historyIn(table: { readonly columns: Columns }): (row: Row) => readonly Message[] {
  return hasHistory(table) ? historyOf : () => [];
}

/**
 * What a model is asked.
 * @param content of the question, as it is sent
 * @param history of messages before it
 * @param system where the history has no system message of its own
 */
export function askedMessages(content: string, history: readonly Message[], system?: string): readonly Message[] {
  const own = history[0]?.role === 'system' || system === undefined ? [] : [{ role: 'system', content: system }];
  return [...own, ...history, { role: 'user', content }];
}

/** The id of a row's question; with what came before it, where the row has a history. */
export function idOfQuestion(row: Row): string {
  const question = String(row.question ?? '');
  const history = historyOf(row);
  if (history.length === 0) return problemId(question);
  return problemId(JSON.stringify([...history.map(({ role, content }) => [role, content]), ['user', question]]));
}

/** Sources that have no history to keep, or a column of its name. */
export function historyProblems({ sources }: LoadOptions): readonly OptionProblem[] {
  const named = Object.entries(sources);
  if (!named.some(([, { history }]) => history)) return [];
  return named.flatMap(([name, { layout, history, fields }]) => [
    ...(history && layout === 'columns'
      ? [
          {
            path: `sources.${name}.history`,
            code: 'no_turns',
            message: 'layout columns has no turns to keep.',
            hint: 'Say which `layout` the source has: messages, sharegpt or alpaca.',
          },
        ]
      : []),
    ...('history' in fields
      ? [
          {
            path: `sources.${name}.fields.history`,
            code: 'column_taken',
            message: 'the column history holds the turns before the question.',
            hint: 'Give this column another name.',
          },
        ]
      : []),
  ]);
}

/** Replies of a history have no trace to train. */
export function repliesProblems({ preset, replies }: FormatOptions): readonly OptionProblem[] {
  if (replies === 'last' || preset === 'chat') return [];
  const message = `preset ${preset} writes a trace, which the replies of a history do not have.`;
  return [{ path: 'replies', code: 'replies_without_trace', message, hint: 'Set `preset: chat`, or `replies: last`.' }];
}
