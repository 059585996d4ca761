import { expect, it } from 'vitest';
import { hasHistory, historyIn, historyType, messagesType } from './history.js';

it.each([
  historyType,
  messagesType,
  'STRUCT(role VARCHAR, content VARCHAR)[]',
  'struct("role" varchar, "content" varchar)[]',
])('a column of type %s holds messages', (history) => {
  const messages = [{ role: 'assistant', content: 'a' }];
  const kept = messages.map((message) => ({ ...message, weight: 0 }));
  const historyOf = historyIn({ columns: { id: 'VARCHAR', history } });
  // What asks a model knows nothing of weights.
  expect(historyOf({ history: kept })).toEqual(messages);
});

it.each(['VARCHAR', 'VARCHAR[]', 'STRUCT(role VARCHAR)[]', 'STRUCT(role VARCHAR, content VARCHAR)'])(
  'a column of type %s is none of messages',
  (history) => expect(hasHistory({ columns: { history } })).toBe(false),
);
