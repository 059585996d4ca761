import { describe, expect, it } from 'vitest';
import { messagesType } from '../../core/index.js';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { deduplicate } from './deduplicate.stage.js';
import { historyProblems, repliesProblems } from './history.js';
import { loadFolder, type Options } from './load.fixture.js';
import { loadOptions } from './load-options.js';
import { formatOptions } from './options.js';
import { problemId } from './problem-id.js';
import { select } from './select.stage.js';

const { loadFile } = loadFolder();

const system = { role: 'system', content: 'Be brief.' };
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

const loadChats = (chats: readonly (readonly object[])[], options: Options = {}) =>
  loadFile(
    'chats.jsonl',
    chats.map((messages) => JSON.stringify({ messages })).join('\n'),
    { layout: 'messages', history: true },
    options,
  );

describe('curation/load with `history: true`', () => {
  it('keeps what came before the last question, the replies in it without their thinking', async () => {
    const result = await loadChats([
      [system, user('Hello'), assistant('<think>\nhm\n</think>\n\nHi'), user('Q'), assistant('<think>so</think>A')],
    ]);
    expect(result.rows('dataset')).toMatchObject([
      { question: 'Q', reasoning: 'so', answer: 'A', history: [system, user('Hello'), assistant('Hi')] },
    ]);
  });

  it('has an empty history for a chat of one turn, and the id of its question', async () => {
    const [row] = (await loadChats([[user('Q'), assistant('A')]])).rows('dataset');
    expect(row).toMatchObject({ id: problemId('Q'), history: [] });
  });

  it('keeps the system message of Alpaca rows, and their turns', async () => {
    const row = { instruction: 'Q', output: 'A', system: 'Be brief.', history: [['Hello', 'Hi']] };
    const result = await loadFile('pool.jsonl', JSON.stringify(row), { layout: 'alpaca', history: true });
    const history = [system, user('Hello'), assistant('Hi')];
    expect(result.rows('dataset')).toMatchObject([{ question: 'Q', history }]);
  });

  it.each([
    ['ends with a question', [user('Q'), assistant('A'), user('R')]],
    ['begins with a reply', [assistant('A'), user('Q'), assistant('B')]],
    ['asks twice', [user('P'), user('Q'), assistant('A'), assistant('B')]],
    ['has no turns', []],
  ])('refuses or drops a chat that %s', async (_, chat) => {
    const chats = [chat, [user('Q'), assistant('A')]];
    await expect(loadChats(chats)).rejects.toMatchObject({
      code: 'turns_do_not_alternate',
      message: expect.stringContaining('chats.jsonl:1: the conversation is not questions and replies in turn'),
    });
    const dropped = await loadChats(chats, { missing: 'drop' });
    expect(dropped.events.at(-1)?.data).toMatchObject({ rowsOut: 1, dropped: { no_alternating_turns: 1 } });
  });

  it('names half a character in it', async () => {
    const text = JSON.stringify({ messages: [user('?'), assistant('A'), user('Q'), assistant('A')] });
    const source = { layout: 'messages', history: true };
    await expect(loadFile('chats.jsonl', text.replace('?', '\\ud83d'), source)).rejects.toMatchObject({
      code: 'half_character',
      message: expect.stringContaining('column `history`'),
    });
  });

  it.each([
    [{ history: true }, 'sources.pool.history', 'layout columns has no turns to keep'],
    [
      { layout: 'messages', history: true, fields: { history: 'past' } },
      'sources.pool.fields.history',
      'the column history holds the turns',
    ],
  ])('is refused where there is none to keep, or no place for it: %j', (source, path, message) => {
    const options = loadOptions.parse({ sources: { pool: { path: 'pool.jsonl', ...source } } });
    expect(historyProblems(options)).toMatchObject([{ path, message: expect.stringContaining(message) }]);
  });
});

it('curation/format trains all replies of preset chat alone', () => {
  const problemsOf = (preset: string) => repliesProblems(formatOptions.parse({ preset, replies: 'all' }));
  expect(problemsOf('chat')).toEqual([]);
  expect(problemsOf('r1')).toMatchObject([{ path: 'replies', code: 'replies_without_trace' }]);
});

describe('chats that end with the same question', () => {
  const texts = ['id', 'question', 'reasoning', 'answer', 'domain', 'source'];
  const columns = { ...Object.fromEntries(texts.map((name) => [name, 'VARCHAR'])), history: messagesType };
  const chats = [
    [user('One?'), assistant('1'), user('Sure?'), assistant('Yes')],
    [user('Two?'), assistant('2'), user('Sure?'), assistant('Yes')],
    [user('One?'), assistant('1'), user('Sure?'), assistant('Of course')],
  ];

  it('are told apart by their ids', async () => {
    const loaded = await loadChats(chats);
    const dataset = memoryTable(columns, loaded.rows('dataset'));
    const unique = await runStage(deduplicate, { options: { column: 'id' }, inputs: { dataset } });
    expect(unique.rows('dataset')).toEqual(loaded.rows('dataset').slice(0, 2));
  });

  it('keep their histories when they are selected', async () => {
    const loaded = await loadChats(chats.slice(0, 2));
    const dataset = memoryTable(columns, loaded.rows('dataset'));
    const selected = await runStage(select, { options: { method: 'random', count: 2 }, inputs: { dataset } });
    expect(selected.rows('dataset').map(({ history }) => history)).toEqual(
      loaded.rows('dataset').map(({ history }) => history),
    );
  });
});
