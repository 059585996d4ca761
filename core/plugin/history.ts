import type { Columns, Row } from '../artifacts/artifact.js';
import { parseColumnType, sqlType } from '../artifacts/column-type.js';

/** One turn of a conversation, as chat templates take it. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** Type of a column of messages. */
export const messagesType = 'STRUCT("role" VARCHAR, content VARCHAR)[]';

/** Type of a column `history`. The weight of a reply is 0 where it is never to be trained, else null. */
export const historyType = 'STRUCT("role" VARCHAR, content VARCHAR, weight INTEGER)[]';

/** Whether a table keeps in `history` what came before its questions, as curation/load does; of other types it is another's. */
export function hasHistory({ columns }: { readonly columns: Columns }): boolean {
  const type = columns.history === undefined ? undefined : spelledOut(columns.history);
  return type === spelledOut(historyType) || type === spelledOut(messagesType);
}

/** A type that is written in one way: names may stand in quotes, and in any case those of types. */
function spelledOut(type: string): string {
  return sqlType(parseColumnType('history', type));
}

/** Gives the messages before the question of each row of a table; none where it keeps no history. */
export function historyIn(table: { readonly columns: Columns }): (row: Row) => readonly Message[] {
  if (!hasHistory(table)) return () => [];
  return ({ history }) =>
    Array.isArray(history) ? history.map(({ role, content }: Message) => ({ role, content })) : [];
}

/**
 * What a model is asked: the messages of a prompt, for a trainer or a server.
 * @param content of the question, as it is sent
 * @param history of messages before it
 * @param system where the history has no system message of its own @default none
 */
export function askedMessages(content: string, history: readonly Message[], system?: string): readonly Message[] {
  const own = history[0]?.role === 'system' || system === undefined ? [] : [{ role: 'system', content: system }];
  return [...own, ...history, { role: 'user', content }];
}
