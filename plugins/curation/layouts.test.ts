import { describe, expect, it } from 'vitest';
import { loadFolder } from './load.fixture.js';
import { load } from './load.stage.js';

const { loadFile, loadWith, parquetFile } = loadFolder();

const message = (role: string, content: string, weight: number | null = null) => ({ role, content, weight });

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
      'Source pool: 2 rows have `tools`, which is not used: their chats are written without it. ' +
        '`layout: chat` takes it.',
      'Source pool: 1 row has `chat_template_kwargs`, which is not used: their chats are written without it.',
    ]);
  });

  it('no last reply that is not to be trained, and keeps the weight of 0 of earlier ones', async () => {
    const chat = (...weights: readonly (number | string | undefined)[]) =>
      JSON.stringify({
        messages: weights.flatMap((weight, at) => [
          { role: 'user', content: `Q${at}` },
          { role: 'assistant', content: `A${at}`, weight },
        ]),
      });
    const source = { layout: 'messages', history: true };
    const content = [chat(0, 1), chat(undefined, 0), chat(''), chat(0), chat(0.5, 1), chat('', 1)].join('\n');
    const { rows, logged } = await loadFile('pool.jsonl', content, source, { missing: 'drop' });
    expect(rows('dataset').map(({ answer, history }) => [answer, history])).toEqual([
      ['A1', [message('user', 'Q0'), message('assistant', 'A0', 0)]],
      ['A0', []],
      ['A1', [message('user', 'Q0'), message('assistant', 'A0', null)]],
      ['A1', [message('user', 'Q0'), message('assistant', 'A0', null)]],
    ]);
    expect(rows('decisions').map(({ rule }) => rule)).toEqual(['no_trained_reply', 'no_trained_reply']);
    expect(logged.filter(({ level }) => level === 'warning').map(({ message }) => message)).toEqual([
      'Source pool: 1 row has an earlier reply of another weight than 0 and 1, which `replies: all` of curation/format ' +
        'would train as any other.',
    ]);
    await expect(loadFile('pool.jsonl', chat(0), { layout: 'messages' })).rejects.toMatchObject({
      code: 'no_reply',
      message: expect.stringContaining('the last reply has the weight 0: it is not to be trained'),
    });
    for (const weight of [2, 'high']) {
      await expect(loadFile('pool.jsonl', chat(weight), { layout: 'messages' })).rejects.toMatchObject({
        code: 'wrong_type',
        message: expect.stringContaining(`\`weight\` of a reply is ${JSON.stringify(weight)}, expected 0 or 1`),
      });
    }
  });

  it('no reply in the place of an answer beside the chat without a word, where other rows have one', async () => {
    const messages = ['Q', 'A'].map((content, at) => ({ role: at === 0 ? 'user' : 'assistant', content }));
    const rows = [{ messages, answer: '4' }, { messages }, { messages, answer: null }, { messages }];
    const source = { layout: 'messages', fields: { gold: 'answer', answer: 'answer' } };
    const loading = async (...some: readonly object[]) =>
      await loadFile('pool.jsonl', some.map((row) => JSON.stringify(row)).join('\n'), source);
    const mixed = await loading(...rows);
    expect(mixed.rows('dataset').map(({ gold }) => gold)).toEqual(['4', 'A', null, 'A']);
    const warnings = ({ logged }: typeof mixed) =>
      logged.filter(({ level }) => level === 'warning').map(({ message }) => message);
    expect(warnings(mixed)).toEqual([
      'Source pool: 2 rows lack the field `answer` that others have: column `gold` has there what the conversation says. ' +
        'Write null where there is none.',
    ]);
    expect(warnings(await loading({ messages }))).toEqual([]);
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

  it('the system message of a field beside the turns, before those among them', async () => {
    const conversations = [
      { from: 'system', value: 'Be kind.' },
      { from: 'human', value: 'Q' },
      { from: 'gpt', value: 'A' },
    ];
    const rows = [
      { system: 'Be brief.', conversations: conversations.slice(1) },
      { system: 'Be brief.', conversations },
      { system: 'Be kind.', conversations },
      { system: '', conversations: conversations.slice(1) },
    ];
    const content = rows.map((row) => JSON.stringify(row)).join('\n');
    const result = await loadFile('pool.jsonl', content, { layout: 'sharegpt', history: true });
    expect(result.rows('dataset').map(({ history }) => history)).toEqual([
      [message('system', 'Be brief.')],
      [message('system', 'Be brief.\n\nBe kind.')],
      [message('system', 'Be kind.')],
      [],
    ]);
  });

  it('the earlier turns of an Alpaca row as its history, or none of it', async () => {
    const row = { instruction: 'Q', output: 'A', system: 'Be brief.', history: [['P', '<think>so</think>B']] };
    const content = [row, { ...row, history: [] }].map((each) => JSON.stringify(each)).join('\n');
    const result = await loadFile('pool.jsonl', content, { layout: 'alpaca', history: true });
    const system = message('system', 'Be brief.');
    expect(result.rows('dataset').map(({ history }) => history)).toEqual([
      [system, message('user', 'P'), message('assistant', 'B')],
      [system],
    ]);
    await expect(loadFile('pool.jsonl', content, { layout: 'alpaca' })).rejects.toMatchObject({
      code: 'several_turns',
    });
    const other = JSON.stringify({ ...row, history: ['P'] });
    await expect(loadFile('pool.jsonl', other, { layout: 'alpaca', history: true })).rejects.toMatchObject({
      code: 'wrong_type',
      message: expect.stringContaining('`history.0` is a string, expected a question and its reply'),
    });
  });

  it.each([
    [
      'an earlier turn',
      'alpaca',
      { history: 'P' },
      '`history` is a string, expected a list of questions with their replies',
    ],
    ['an earlier turn', 'alpaca', { history: { P: 'B' } }, '`history` is an object, expected a list of questions'],
    ['a system message', 'alpaca', { system: ['Be brief.'] }, '`system` is a list, expected text'],
    ['a system message', 'messages', { system: { content: 'Be brief.' } }, '`system` is an object, expected text'],
    ['a trace', 'messages', { reasoning_content: ['so'] }, '`messages.1.reasoning_content` is a list, expected text'],
  ])('no row of which it would lose %s', async (_, layout, more, message) => {
    const turns = [
      { role: 'user', content: 'Q' },
      { role: 'assistant', content: 'A', ...more },
    ];
    const content = JSON.stringify({ instruction: 'Q', output: 'A', messages: turns, ...more });
    for (const history of [false, true])
      await expect(loadFile('pool.jsonl', content, { layout, history })).rejects.toMatchObject({
        code: 'wrong_type',
        message: expect.stringContaining(message),
      });
  });

  it.each(['reasoning', 'thinking'])('thinking by the name of %s, which was lost without a word', async (name) => {
    const messages = [
      { role: 'user', content: 'Q', [name]: null },
      { role: 'assistant', content: 'A', [name]: 'so' },
    ];
    const { rows } = await loadFile('pool.jsonl', JSON.stringify({ messages }), { layout: 'messages' });
    expect(rows('dataset')).toMatchObject([{ question: 'Q', reasoning: 'so', answer: 'A' }]);
  });

  it.each(['thinking', 'reasoning_content'])('turns that say by %s whether there was thinking', async (name) => {
    const messages = [
      { role: 'user', content: 'Q', [name]: false },
      { role: 'assistant', content: '<think>so</think>A', [name]: true },
    ];
    const { rows } = await loadFile('pool.jsonl', JSON.stringify({ messages }), { layout: 'messages' });
    expect(rows('dataset')).toMatchObject([{ question: 'Q', reasoning: 'so', answer: 'A' }]);
  });

  it('thinking in the marks of OpenThoughts and Bespoke-Stratos as the trace, with the solution as the answer', async () => {
    const value =
      '<|begin_of_thought|>\n\nso\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nA\n\n<|end_of_solution|>';
    const answers = [value, value.replace(/<\|.{3,5}_of_solution\|>/g, ''), value.replaceAll('|>', '>')];
    const rows = answers.map((text, at) => [
      { from: 'user', value: `Q${at}` },
      { from: 'assistant', value: text },
    ]);
    const content = rows.map((conversations) => JSON.stringify({ conversations })).join('\n');
    const { rows: loaded } = await loadFile('pool.jsonl', content, { layout: 'sharegpt' });
    const thought = { reasoning: 'so', answer: 'A' };
    expect(loaded('dataset')).toMatchObject([thought, thought, { reasoning: null, answer: answers[2] }]);
  });

  it("the file's own answer where another column takes it, and the reply's where it is the answer", async () => {
    const messages = [
      { role: 'user', content: 'Q' },
      { role: 'assistant', content: '<think>so</think>\\boxed{5}' },
    ];
    const rows = [{ messages, answer: '6', question: 'P' }, { messages }, { messages, answer: null }];
    const content = rows.map((row) => JSON.stringify(row)).join('\n');
    const fields = { gold: 'answer', asked: 'question', answer: { field: 'answer', pattern: 'boxed{(.*)}' } };
    const { rows: loaded } = await loadFile('pool.jsonl', content, { layout: 'messages', fields });
    expect(loaded('dataset')).toMatchObject([
      { question: 'Q', answer: '5', gold: '6', asked: 'P' },
      { question: 'Q', answer: '5', gold: '\\boxed{5}', asked: 'Q' },
      { question: 'Q', answer: '5', gold: null, asked: 'Q' },
    ]);
  });

  it('turns that are JSON text, a turn that stands alone, and content that is one part of text', async () => {
    const [human, gpt] = [
      { from: 'human', value: 'Q' },
      { from: 'gpt', value: 'A' },
    ];
    const loaded = async (row: object, source: object) =>
      (await loadFile('pool.jsonl', JSON.stringify(row), { layout: 'sharegpt', ...source })).rows('dataset');
    const wanted = [{ question: 'Q', answer: 'A' }];
    expect(await loaded({ conversations: JSON.stringify([human, gpt]) }, {})).toMatchObject(wanted);
    const pair = { conversations: [human], chosen: gpt, rejected: human };
    expect(await loaded(pair, { turns: ['conversations', 'chosen'] })).toMatchObject(wanted);
    const part = (role: string, text: string) => ({ role, content: [{ type: 'text', text }] });
    const messages = [part('user', 'Q'), part('assistant', 'A')];
    expect(await loaded({ messages }, { layout: 'messages' })).toMatchObject(wanted);
    await expect(
      loaded({ messages: [part('user', 'Q'), { role: 'assistant', content: [] }] }, { layout: 'messages' }),
    ).rejects.toMatchObject({
      code: 'wrong_type',
      message: expect.stringContaining('`messages.1.content` is a list of 0 parts'),
    });
  });

  it.each(['messages', 'chat'])('no chat that is one text, with layout %s, saying what to write', async (layout) => {
    const content = JSON.stringify({ messages: 'USER: Q ASSISTANT: A' });
    await expect(loadFile('pool.jsonl', content, { layout })).rejects.toMatchObject({
      code: 'wrong_type',
      hint: expect.stringMatching(/^Write a chat that is one text as a list of messages/),
    });
  });

  it('texts that say nothing, whatever their type, as none', async () => {
    const row = { instruction: 'Q', output: 'A', history: '[]', system: {} };
    const result = await loadFile('pool.jsonl', JSON.stringify(row), { layout: 'alpaca', history: true });
    expect(result.rows('dataset')).toMatchObject([{ question: 'Q', history: [] }]);
  });

  it('what is null as what is not there, so that `missing: drop` leaves the row out', async () => {
    const user = { role: 'user', content: 'Q' };
    const load = (layout: string, rows: readonly object[]) =>
      loadFile(
        'pool.jsonl',
        rows.map((row) => JSON.stringify(row)).join('\n'),
        { layout },
        { missing: 'drop', required: ['question', 'answer'] },
      );
    const chats = [[user, { role: 'assistant', content: 'A' }], [user, { role: 'assistant', content: null }], null];
    const ofChats = await load(
      'messages',
      chats.map((messages) => ({ messages })),
    );
    expect(ofChats.rows('decisions').map(({ rule }) => rule)).toEqual(['no_answer', 'no_single_turn']);
    const tasks = [{ output: 'A' }, { output: null }, { instruction: null, input: 'Q', output: 'A' }];
    const ofTasks = await load(
      'alpaca',
      tasks.map((row) => ({ instruction: 'Q', ...row })),
    );
    expect(ofTasks.rows('dataset').map(({ question }) => question)).toEqual(['Q', 'Q']);
    expect(ofTasks.rows('decisions').map(({ rule }) => rule)).toEqual(['no_answer']);
  });
});
