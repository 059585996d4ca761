import { expect, it } from 'vitest';
import { hasHistory, historyIn, messagesType } from './history.js';

it.each([messagesType, 'STRUCT(role VARCHAR, content VARCHAR)[]', 'struct("role" varchar, "content" varchar)[]'])(
  'a column of type %s holds messages',
  (history) => {
    const messages = [{ role: 'user', content: 'a' }];
    expect(historyIn({ columns: { id: 'VARCHAR', history } })({ history: messages })).toBe(messages);
  },
);

it.each(['VARCHAR', 'VARCHAR[]', 'STRUCT(role VARCHAR)[]', 'STRUCT(role VARCHAR, content VARCHAR)'])(
  'a column of type %s is none of messages',
  (history) => expect(hasHistory({ columns: { history } })).toBe(false),
);
