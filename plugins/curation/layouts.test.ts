import { describe, expect, it } from 'vitest';
import { loadFolder } from './load.fixture.js';
import { load } from './load.stage.js';

const { loadFile, loadWith, parquetFile } = loadFolder();

describe('curation/load takes of chats', () => {
  it('turns of another field, or of several: what was preferred', async () => {
    const [user, chosen, rejected] = ['Q', 'A', 'B'].map((content, at) => ({
      role: at === 0 ? 'user' : 'assistant',
      content,
    }));
    const whole = JSON.stringify({ chosen: [user, chosen], rejected: [user, rejected] });
    const apart = JSON.stringify({ prompt: [user], chosen: [chosen], rejected: [rejected] });
    const loaded = async (row: string, turns: unknown) =>
      (await loadFile('pool.jsonl', row, { layout: 'messages', turns })).rows('dataset')[0];
    expect(await loaded(whole, 'chosen')).toMatchObject({ question: 'Q', answer: 'A' });
    expect(await loaded(apart, ['prompt', 'chosen'])).toMatchObject({ question: 'Q', answer: 'A' });
    await expect(loadFile('pool.jsonl', whole, { layout: 'messages' })).rejects.toMatchObject({
      code: 'missing_column',
      hint: 'Set `turns` to the field that has them, or correct `layout`.',
    });
    const options = load.options.parse({ sources: { pool: { path: 'pool.jsonl', turns: 'chosen' } } });
    expect(load.check?.(options, {} as never)).toMatchObject([{ path: 'sources.pool.turns', code: 'no_turns' }]);
  });

  it('what chat templates are given besides messages, with a warning that names it', async () => {
    const messages = ['Q', 'A'].map((content, at) => ({ role: at === 0 ? 'user' : 'assistant', content }));
    const tools = [{ type: 'function', function: { name: 'add' } }];
    const rows = [
      { tools },
      { tools, chat_template_kwargs: { enable_thinking: false } },
      { tools: [] },
      { tools: null },
    ];
    const content = rows.map((row) => JSON.stringify({ messages, ...row })).join('\n');
    const { logged } = await loadFile('pool.jsonl', content, { layout: 'messages' });
    expect(logged.filter(({ level }) => level === 'warning').map(({ message }) => message)).toEqual([
      'Source pool: 2 rows have `tools`, which is not used: their chats are written without it.',
      'Source pool: 1 row has `chat_template_kwargs`, which is not used: their chats are written without it.',
    ]);
  });

  it('no system message without a word, where nothing keeps it', async () => {
    const chat = (...first: string[]) => {
      const turns = [...first, 'Q', 'A'].map((content, at) => ({
        role: ['system', 'user', 'assistant'].at(at - first.length - 2),
        content,
      }));
      return JSON.stringify({ messages: turns });
    };
    const said = async (source: Readonly<Record<string, unknown>>) => {
      const { logged } = await loadFile('pool.jsonl', `${chat('Be brief.')}\n${chat()}\n${chat(' ')}`, source);
      return logged.filter(({ level }) => level === 'warning').map(({ message }) => message);
    };
    expect(await said({ layout: 'messages' })).toEqual([
      'Source pool: 1 row has a system message, which is not used: their chats are written without it. ' +
        '`history: true` keeps it.',
    ]);
    expect(await said({ layout: 'messages', history: true })).toEqual([]);
    expect(await said({ layout: 'messages', fields: { persona: 'system' } })).toEqual([]);
  });

  it('of a Parquet file, whose whole numbers are no JSON, and whose rows have fields that say nothing', async () => {
    const messages = "[{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'content': 'A'}] AS messages";
    const kwargs = "{'budget': CASE WHEN i = 0 THEN 8::BIGINT END} AS chat_template_kwargs";
    await parquetFile('pool.parquet', `SELECT ${messages}, ${kwargs}, '[]' AS tools FROM range(3) rows(i)`);
    const { logged } = await loadWith({ sources: { pool: { path: 'pool.parquet', layout: 'messages' } } });
    expect(logged.filter(({ level }) => level === 'warning').map(({ message }) => message)).toEqual([
      'Source pool: 1 row has `chat_template_kwargs`, which is not used: their chats are written without it.',
    ]);
  });
});
