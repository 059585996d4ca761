import { describe, expect, it } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { loadFolder } from './load.fixture.js';
import { load } from './load.stage.js';
import { split } from './split.stage.js';

const { inside, loadFile, loadWith, parquetFile } = loadFolder();

const user = { role: 'user', content: 'Is it cold in Oslo?' };
const call = (values: unknown) => ({ type: 'function', id: 'c1', function: { name: 'weather', arguments: values } });
const calling = (values: unknown) => ({ role: 'assistant', content: null, tool_calls: [call(values)] });
const result = { role: 'tool', name: 'weather', tool_call_id: 'c1', content: '{"celsius": -4}' };
const answer = { role: 'assistant', content: 'Yes.' };
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];

/** ShareGPT's forms of the same. */
const human = { from: 'human', value: user.content };
const gpt = { from: 'gpt', value: 'Yes.' };
const callTurn = { from: 'function_call', value: '{"name": "weather", "arguments": {"city": "Oslo"}}' };
const text = { type: 'text', text: 'Yes.' };

/** As every message of a column is. */
const whole = (message: object) => ({
  content: null,
  reasoning_content: null,
  tool_calls: null,
  name: null,
  tool_call_id: null,
  ...message,
});
const loaded = {
  question: 'Is it cold in Oslo?',
  answer: null,
  prompt: [whole(user)],
  completion: [whole(calling('{"city":"Oslo"}')), whole(result), whole(answer)],
  tools: JSON.stringify(tools),
};

const chat = { messages: [user, calling({ city: 'Oslo' }), result, answer], tools };

async function rowsOf(...rows: readonly object[]) {
  const content = rows.map((row) => JSON.stringify(row)).join('\n');
  return (await loadFile('chats.jsonl', content, { layout: 'chat' })).rows('dataset');
}

describe('layout chat of curation/load', () => {
  it('keeps calls of tools and what came of them, from the first reply on as the completion', async () => {
    const { rows, logged } = await loadFile('chats.jsonl', JSON.stringify(chat), { layout: 'chat' });
    expect(rows('dataset')).toMatchObject([loaded]);
    expect(logged.filter(({ level }) => level === 'warning')).toEqual([]);
  });

  it('takes prompt and completion as a file has them apart, and what is JSON text already', async () => {
    const [before, after] = [
      [user, answer, user],
      [calling('{"city": "Oslo"}'), result],
    ];
    const row = { prompt: before, completion: after, tools: JSON.stringify(tools) };
    expect(await rowsOf(row)).toMatchObject([
      { prompt: before.map(whole), completion: [whole(calling('{"city": "Oslo"}')), whole(result)], tools: row.tools },
    ]);
  });

  it('reads messages that are JSON text, and leaves out fields of theirs that say nothing', async () => {
    const messages = JSON.stringify([
      user,
      calling('{"city":"Oslo"}'),
      result,
      { ...answer, refusal: null, annotations: [] },
    ]);
    expect(await rowsOf({ ...chat, messages })).toMatchObject([loaded]);
  });

  it('takes calls whose name and arguments stand in no function', async () => {
    const flat = { ...answer, tool_calls: [{ name: 'weather', arguments: { city: 'Oslo' } }] };
    const [row] = await rowsOf({ messages: [user, flat] });
    expect(row).toMatchObject({
      completion: [whole({ ...answer, tool_calls: [{ ...call('{"city":"Oslo"}'), id: null }] })],
    });
  });

  it('takes a system message from beside the messages, and other fields where the recipe names them', async () => {
    const { messages, tools: functions } = chat;
    const source = { layout: 'chat', turns: 'talk', fields: { tools: 'functions' } };
    const { rows } = await loadFile(
      'c.jsonl',
      JSON.stringify({ talk: messages, functions, system: 'Be brief.' }),
      source,
    );
    const system = whole({ role: 'system', content: 'Be brief.' });
    expect(rows('dataset')).toMatchObject([{ ...loaded, prompt: [system, whole(user)] }]);
  });

  it('takes conversations of ShareGPT, with calls of tools and what came of them', async () => {
    const conversations = [human, callTurn, { from: 'observation', value: result.content }, gpt];
    const flat = JSON.stringify(tools.map((tool) => tool.function));
    const calls = [{ ...call('{"city":"Oslo"}'), id: null }];
    const completion = [
      whole({ role: 'assistant', tool_calls: calls }),
      whole({ role: 'tool', content: result.content }),
      whole(answer),
    ];
    const wanted = { question: user.content, prompt: [whole(user)], completion, tools: flat };
    expect(await rowsOf({ conversations, tools: flat })).toMatchObject([wanted]);
    expect(await rowsOf({ conversations: JSON.stringify(conversations), tools: flat })).toMatchObject([wanted]);
    const two = { from: 'function_call', value: `[${callTurn.value}, ${callTurn.value}]` };
    const [row] = await rowsOf({ conversations: [human, two] });
    expect(row).toMatchObject({ completion: [whole({ role: 'assistant', tool_calls: [...calls, ...calls] })] });
  });

  it('takes calls that are text in the replies as this text, as those of ToolACE and Hermes are', async () => {
    const system = { from: 'system', value: 'Call functions.' };
    const said = { from: 'assistant', value: '[weather(city="Oslo")]' };
    const turns = [{ ...human, from: 'user', weight: 0 }, said, { from: 'tool', value: '[]' }, { ...gpt, weight: 1 }];
    const completion = [whole({ role: 'assistant', content: said.value }), whole({ role: 'tool', content: '[]' })];
    const wanted = {
      prompt: [whole({ role: 'system', content: system.value }), whole(user)],
      completion: [...completion, whole(answer)],
    };
    expect(await rowsOf({ system: system.value, conversations: turns })).toMatchObject([wanted]);
    expect(await rowsOf({ conversations: [system, ...turns] })).toMatchObject([wanted]);
    const [both] = await rowsOf({ system: 'Be brief.', conversations: [system, ...turns] });
    expect(both?.prompt).toEqual([whole({ role: 'system', content: 'Be brief.\n\nCall functions.' }), whole(user)]);
  });

  it("takes OpenAI's former calls, developer for system, and content that is one part of text", async () => {
    const former = { role: 'assistant', content: null, function_call: { name: 'weather', arguments: '{}' } };
    const messages = [
      { role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] },
      { ...user, content: [{ type: 'text', text: user.content }] },
      former,
      { ...result, role: 'function' },
      { ...answer, content: [text] },
    ];
    expect(await rowsOf({ messages })).toMatchObject([
      {
        question: user.content,
        prompt: [whole({ role: 'system', content: 'Be brief.' }), whole(user)],
        completion: [
          whole({ role: 'assistant', tool_calls: [{ ...call('{}'), id: null }] }),
          whole(result),
          whole(answer),
        ],
      },
    ]);
  });

  it.each(['reasoning', 'thinking', 'reasoning_content'])('takes thinking by the name of %s', async (name) => {
    const messages = [user, { ...answer, [name]: 'North.' }];
    expect(await rowsOf({ messages })).toMatchObject([
      { completion: [whole({ ...answer, reasoning_content: 'North.' })] },
    ]);
  });

  it.each(['thinking', 'reasoning_content'])('takes turns that say by %s whether there was thinking', async (name) => {
    const messages = [
      { ...user, [name]: false },
      { ...answer, [name]: true, reasoning: 'North.' },
    ];
    expect(await rowsOf({ messages })).toMatchObject([
      { prompt: [whole(user)], completion: [whole({ ...answer, reasoning_content: 'North.' })] },
    ]);
  });

  it('trains no greeting, and no reply of weight 0 before those that are trained', async () => {
    const before = [answer, user, { ...answer, weight: 0 }, user];
    const [greeted, weighed] = await rowsOf(
      { messages: [answer, user, answer] },
      { messages: [...before, { ...answer, weight: 1 }] },
    );
    expect(greeted).toMatchObject({ prompt: [whole(answer), whole(user)], completion: [whole(answer)] });
    expect(weighed).toMatchObject({ prompt: [answer, user, answer, user].map(whole), completion: [whole(answer)] });
  });

  it('keeps the weight of 0 of a reply after the first that is trained, and no other weight', async () => {
    const untrained = { ...answer, weight: 0 };
    const messages = [user, { ...answer, weight: 1 }, { ...user, weight: 0 }, untrained, user, answer];
    const [row] = await rowsOf({ messages });
    expect(row?.prompt).toEqual([whole(user)]);
    expect(row?.completion).toEqual(
      [answer, user, untrained, user, answer].map((message) => ({ ...whole(message), weight: null, ...message })),
    );
  });

  it('asks for no weight of 0 or 1 of a reply that is only seen', async () => {
    const half = { ...answer, weight: 0.5 };
    const prompt = [answer, user].map(whole);
    expect(await rowsOf({ prompt: [half, user], completion: [answer] })).toMatchObject([{ prompt }]);
    expect(await rowsOf({ messages: [half, user, answer] })).toMatchObject([{ prompt }]);
    const content = JSON.stringify({ messages: [user, half, user, answer] });
    const { rows } = await loadFile('chats.jsonl', content, { layout: 'chat', replies: 'last' });
    expect(rows('dataset')).toMatchObject([{ prompt: [user, answer, user].map(whole) }]);
  });

  it('trains, where the recipe says so, only what replies to the last question', async () => {
    const messages = [...chat.messages, user, calling({ city: 'Oslo' }), result, answer, user];
    const content = JSON.stringify({ messages });
    const { rows } = await loadFile('chats.jsonl', content, { layout: 'chat', replies: 'last' });
    const calls = whole(calling('{"city":"Oslo"}'));
    expect(rows('dataset')).toMatchObject([
      {
        prompt: [whole(user), calls, whole(result), whole(answer), whole(user)],
        completion: [calls, whole(result), whole(answer), whole(user)],
      },
    ]);
  });

  it.each([
    ['also of a completion', [user], [answer, user, answer], [user, answer, user], [answer]],
    ['and nothing of a prompt', [user, calling('{}')], [result, answer], [user, calling('{}'), result], [answer]],
  ])('trains only what replies to the last question, %s', async (_, before, after, prompt, completion) => {
    const content = JSON.stringify({ prompt: before, completion: after });
    const { rows } = await loadFile('chats.jsonl', content, { layout: 'chat', replies: 'last' });
    expect(rows('dataset')).toMatchObject([{ prompt: prompt.map(whole), completion: completion.map(whole) }]);
  });

  it('counts as nothing what Parquet fills in where one tool has other arguments than another', async () => {
    const values = "{'city': 'Oslo', 'zone': NULL::VARCHAR, 'days': 2::BIGINT}";
    const calls = `[{'type': 'function', 'function': {'name': 'weather', 'arguments': ${values}}}]`;
    await parquetFile(
      'chats.parquet',
      `SELECT [{'role': 'user', 'content': 'Q', 'tool_calls': NULL},
               {'role': 'assistant', 'content': NULL, 'tool_calls': ${calls}}] AS messages`,
    );
    const { rows } = await loadWith({ sources: { chats: { path: inside('chats.parquet'), layout: 'chat' } } });
    expect(rows('dataset')).toMatchObject([
      {
        completion: [whole({ role: 'assistant', tool_calls: [{ ...call('{"city":"Oslo","days":2}'), id: null }] })],
        tools: null,
      },
    ]);
  });

  it('takes messages as clients of servers write them, with fields that say nothing', async () => {
    const empty = { refusal: null, annotations: [], audio: { id: null }, function_call: null, tool_calls: [] };
    expect(await rowsOf({ messages: [user, { ...answer, ...empty }] })).toMatchObject([
      { completion: [whole(answer)] },
    ]);
  });

  it('gives rows of one prompt and its tools one id, and others another', async () => {
    const ids = (await rowsOf(chat, { ...chat, messages: [user, answer] }, { messages: [user, answer] })).map(
      ({ id }) => id,
    );
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[1]);
  });

  it.each([
    ['no reply', { messages: [user] }, 'no_reply', 'there is no message of the role `user` with one of'],
    [
      'a reply to nothing',
      { messages: [answer, user] },
      'no_reply',
      'there is no message of the role `user` with one of',
    ],
    ['other roles', { messages: [{ ...user, role: 'narrator' }, answer] }, 'no_reply', 'no message of the role `user`'],
    ['no messages', { talk: [user] }, 'missing_column', 'there is no field `messages`; there is `talk`'],
    [
      'a call that is no JSON',
      { conversations: [human, { from: 'function_call', value: 'weather(Oslo)' }] },
      'wrong_type',
      '`completion.0.value` is a string, expected the JSON of a call',
    ],
    [
      'calls that are no JSON',
      { messages: [user, { ...answer, tool_calls: 'weather(Oslo)' }] },
      'wrong_type',
      '`completion.0.tool_calls` is a string, expected a list',
    ],
    [
      'an unknown role',
      { conversations: [human, { from: 'narrator', value: 'So.' }, { from: 'gpt', value: 'Yes.' }] },
      'unknown_role',
      'a turn has the role "narrator"',
    ],
    [
      'several parts',
      { messages: [user, { ...answer, content: [text, { type: 'image_url', image_url: {} }] }] },
      'wrong_type',
      '`completion.0.content` is a list of 2 parts (text, image_url), expected text, or one part that is text',
    ],
    [
      'a chat of which no reply is to be trained',
      { messages: [user, { ...answer, weight: 0 }] },
      'no_reply',
      'with one of the role `assistant` after it that is to be trained',
    ],
    [
      'a weight between none and all',
      { messages: [user, { ...answer, weight: 0.5 }] },
      'wrong_type',
      '`weight` of a reply is 0.5, expected 0 or 1',
    ],
    [
      'two thoughts',
      { messages: [user, { ...answer, reasoning: 'A', thinking: 'B' }] },
      'wrong_type',
      '`completion.0` has the field `thinking`',
    ],
    [
      'a text',
      { prompt: [user], completion: 'Yes.' },
      'wrong_type',
      '`completion` is a string, expected a list of messages',
    ],
    ['parts', { messages: [user, { ...answer, content: ['Yes.'] }] }, 'wrong_type', '`completion.0.content` is a list'],
    [
      'another field',
      { messages: [user, { ...answer, audio: 'x' }] },
      'wrong_type',
      '`completion.0` has the field `audio`',
    ],
    [
      'a call of none',
      { messages: [user, { ...answer, tool_calls: 'add' }] },
      'wrong_type',
      '`completion.0.tool_calls` is',
    ],
    ['half a character in JSON text', { ...chat, tools: '\ud83d' }, 'half_character', 'column `tools` holds half'],
    [
      'half a character',
      { messages: [user, calling({ a: '\ud83d' })] },
      'half_character',
      'completion.0.tool_calls.0.arguments',
    ],
    ['half a character in JSON text', { messages: [user, calling('\ud83d')] }, 'half_character', '0.arguments'],
    ['half a character in tools', { messages: [user, answer], tools: '\ud83d' }, 'half_character', '`tools`'],
  ])('refuses %s, naming the place', async (_, row, code, message) => {
    await expect(rowsOf(row)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('is what a recipe is told of that takes lists of messages for columns of text', async () => {
    const source = { fields: { prompt: 'prompt' } };
    const loading = loadFile('chats.jsonl', JSON.stringify({ prompt: [user] }), source, { required: [] });
    await expect(loading).rejects.toMatchObject({
      code: 'wrong_type',
      hint: expect.stringContaining('`layout: chat`'),
    });
  });

  it('has chats apart in curation/split that ask the same, and together those of one prompt', async () => {
    const chats = ['A', 'B', 'A'].map((system) => ({ ...chat, system }));
    const content = chats.map((row) => JSON.stringify(row)).join('\n');
    const { outputs } = await loadFile('chats.jsonl', content, { layout: 'chat' });
    const sides = await runStage(split, { options: { heldout: 1 }, inputs: { dataset: outputs.dataset! } });
    expect([sides.rows('train').length, sides.rows('heldout').length].toSorted()).toEqual([1, 2]);
  });

  it('counts a chat without a reply where it is dropped', async () => {
    const content = [chat, { messages: [user] }].map((row) => JSON.stringify(row)).join('\n');
    const { events } = await loadFile('chats.jsonl', content, { layout: 'chat' }, { missing: 'drop' });
    expect(events.at(-1)?.data).toMatchObject({ rowsOut: 1, dropped: { no_asked_reply: 1 } });
  });

  it('refuses options that would have no effect', () => {
    const sources = { chats: { path: 'a.jsonl', layout: 'chat', history: true } };
    const plain = { path: 'a.jsonl', layout: 'messages', replies: 'last' };
    const options = load.options.parse({ sources: { ...sources, plain }, types: { tools: 'BIGINT' } });
    expect(load.check?.(options, {} as never)).toMatchObject([
      { path: 'sources.plain.replies', code: 'option_without_effect' },
      { path: 'sources.chats.history', code: 'option_without_effect' },
      { path: 'types.tools', code: 'option_without_effect' },
    ]);
  });
});
