import type { Columns, Row } from 'simmerkit';

/** One turn of a conversation, as chat templates take it. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** Type of the column `history` that curation/load writes: of a column of the same name with another type nothing is read. */
const messagesType = 'STRUCT("role" VARCHAR, content VARCHAR)[]';

/** Gives the messages before the question, of each row of a table; none where the table keeps no history. */
export function historyIn({ columns }: { readonly columns: Columns }): (row: Row) => readonly Message[] {
  if (columns.history !== messagesType) return () => [];
  return ({ history }) => (Array.isArray(history) ? history : []);
}

/**
 * What a model is asked.
 * @param content of the question, as it is sent
 * @param system where the history has no system message of its own
 */
export function askedMessages(
  content: string,
  history: readonly Message[],
  system: string | undefined,
): readonly Message[] {
  const own = system === undefined || history[0]?.role === 'system' ? [] : [{ role: 'system', content: system }];
  return [...own, ...history, { role: 'user', content }];
}
