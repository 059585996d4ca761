import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TableArtifact } from 'simmerkit';
import { memoryArtifact, memoryTable, runStage } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ChatServer, startChatServer } from './chat-server.fixture.js';
import { distill } from './distill.stage.js';
import { scriptedTrainer } from './scripted-trainer.fixture.js';

/** A teacher that behaves as it is told for each question and request. */
let behave: (question: string, request: number, response: ServerResponse) => unknown;
let requests: { readonly question: string; readonly messages: readonly object[]; readonly at: number }[];
let server: ChatServer;
let scratchFolder: string;

beforeEach(async () => {
  scratchFolder = await mkdtemp(join(tmpdir(), 'simmer-distill-'));
  requests = [];
  server = await startChatServer(({ messages }, response) => {
    const question = messages.at(-1)?.content ?? '';
    const before = requests.filter((one) => one.question === question).length;
    requests.push({ question, messages, at: performance.now() });
    return behave(question, before + 1, response);
  });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(scratchFolder, { recursive: true });
});

const reply = (content: unknown, more: object = {}, finish = 'stop') => ({
  choices: [{ finish_reason: finish, message: { content, ...more } }],
  usage: { prompt_tokens: 100, completion_tokens: 1000 },
});
const thought = (question: string) => reply(`${question}!`, { reasoning_content: `about ${question}` });
const dataset = (...questions: readonly string[]) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
    questions.map((question) => ({ id: `id-${question}`, question, answer: 'gold' })),
  );
const run = (table: TableArtifact, options: Readonly<Record<string, unknown>> = {}) =>
  runStage(distill, {
    options: { url: server.url, model: 'r1', ...options },
    inputs: { dataset: table },
    scratchFolder,
  });
/** After which an answer is waited for no more, in milliseconds: any that comes is there by then, also on a busy machine. */
const silence = 3000;
const timesAsked = (question: string) => requests.filter((one) => one.question === question).length;

describe('curation/distill', () => {
  it('takes traces as servers send them, and keeps the gold answer', async () => {
    behave = (question) => {
      if (question === 'apart') return reply('4', { reasoning_content: ' two and two ' });
      if (question === 'vllm') return reply('4', { reasoning: 'two and two' });
      if (question === 'mistral') {
        const thinking = [{ type: 'text', text: 'two and two' }];
        return reply([
          { type: 'thinking', thinking },
          { type: 'text', text: '4' },
        ]);
      }
      return reply('<think>\ntwo and two\n</think>\n\n4');
    };
    const questions = ['apart', 'vllm', 'mistral', 'inline'];
    const { rows } = await run(dataset(...questions));
    expect(rows('dataset')).toEqual(
      questions.map((question) => ({
        id: `id-${question}`,
        question,
        gold: 'gold',
        reasoning: 'two and two',
        answer: '4',
      })),
    );
  });

  it('sends what came before a question, and the system message of a row instead of its own', async () => {
    behave = thought;
    const history = [
      { role: 'user', content: 'Hello.' },
      { role: 'assistant', content: 'Hi!' },
    ];
    const columns = { id: 'VARCHAR', question: 'VARCHAR', history: 'STRUCT("role" VARCHAR, content VARCHAR)[]' };
    const chats = memoryTable(columns, [
      { id: 'a', question: 'plain', history: null },
      { id: 'b', question: 'chat', history },
      { id: 'c', question: 'own', history: [{ role: 'system', content: 'Be kind.' }, ...history] },
    ]);
    await run(chats, { system: 'Be brief.' });
    const system = { role: 'system', content: 'Be brief.' };
    const asked = Object.fromEntries(requests.map(({ question, messages }) => [question, messages]));
    const last = (content: string) => ({ role: 'user', content });
    expect(asked).toEqual({
      plain: [system, last('plain')],
      chat: [system, ...history, last('chat')],
      own: [{ role: 'system', content: 'Be kind.' }, ...history, last('own')],
    });
    requests = [];
    await run(memoryTable({ ...columns, history: 'VARCHAR[]' }, [{ id: 'd', question: 'other', history: ['Hello.'] }]));
    expect(requests[0]?.messages).toEqual([last('other')]);
  });

  it('records refusals, cuts, missing traces and missing answers', async () => {
    behave = (question, _, response) => {
      if (question === 'refused') return reply('', { refusal: 'I will not.' });
      if (question === 'filtered') return reply('', {}, 'content_filter');
      if (question === 'cut') return reply('<think>on and on', {}, 'length');
      if (question === 'bare') return reply('4');
      if (question === 'thought') return reply('', { reasoning_content: 'two and two' });
      if (question === 'unclosed') return reply('<think>two and two');
      response.statusCode = 400;
      return { error: { message: 'too long' } };
    };
    const { rows } = await run(dataset('refused', 'filtered', 'cut', 'bare', 'thought', 'unclosed', 'bad'));
    expect(rows('dataset')).toEqual([]);
    expect(rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
      ['refused', 'I will not.'],
      ['refused', 'filtered by the server'],
      ['truncated', 'cut after 1000 tokens'],
      ['no_reasoning', '4'],
      ['no_answer', 'ended (stop) after 1000 tokens'],
      ['no_answer', 'ended (stop) after 1000 tokens'],
      ['refused', expect.stringContaining('HTTP 400')],
    ]);
  });

  it('outlives 429, 500, half a body and silence, and honours Retry-After', async () => {
    behave = (question, request, response) => {
      if (request > 1 || question === 'fine') return thought(question);
      if (question === 'busy') {
        response.writeHead(429, { 'retry-after': '1' });
        return {};
      }
      if (question === 'broken') {
        response.statusCode = 500;
        return {};
      }
      if (question === 'half') {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"choices": [');
        setTimeout(() => response.destroy(), 20);
      }
      // silent: never answers.
      return undefined;
    };
    const questions = ['busy', 'broken', 'half', 'silent', 'fine'];
    const { rows } = await run(dataset(...questions), { timeoutMilliseconds: silence });
    expect(rows('dataset').map((row) => row.reasoning)).toEqual(questions.map((question) => `about ${question}`));
    expect(questions.map(timesAsked)).toEqual([2, 2, 2, 2, 1]);
    const [first, second] = requests.filter(({ question }) => question === 'busy');
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(990);
  });

  it.each([
    ['an error with status 200', { error: { code: 502, message: 'upstream' } }, 'endpoint_refused', 'upstream'],
    ['no choice', { choices: [], usage: { prompt_tokens: 1, completion_tokens: 0 } }, 'endpoint_invalid', 'without a'],
    ['half a reply', reply('two and', {}, 'insufficient_system_resource'), 'endpoint_broke_off', 'insufficient_system'],
  ])('asks again where a server without room answers %s', async (_, failure, code, message) => {
    behave = () => failure;
    await expect(run(dataset('a'), { retries: 1 })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(timesAsked('a')).toBe(2);
    behave = (question, request) => (request === 3 ? failure : thought(question));
    expect((await run(dataset('a'))).rows('dataset')).toMatchObject([{ answer: 'a!' }]);
  });

  it.each([
    { prompt_tokens: -100, completion_tokens: -1e6 },
    { prompt_tokens: 10.5, completion_tokens: '20' },
    undefined,
  ])('counts the most that a reply can cost where the server counts %j', async (usage) => {
    behave = (question) => ({ ...thought(question), usage });
    const { events } = await run(dataset('a'), { price: { inputPerMillion: 0, outputPerMillion: 1 }, maxTokens: 5000 });
    const figures = events.flatMap(({ type, data }) => (type === 'metric.measured' ? [[data.name, data.value]] : []));
    expect(Object.fromEntries(figures)).toMatchObject({ 'distill.dollars': 0.005, 'distill.output-tokens': 5000 });
  });

  it('goes on without a question that always fails, where asked, and else names it', async () => {
    behave = (question, _, response) => {
      if (question.startsWith('q')) return thought(question);
      response.statusCode = 500;
      return {};
    };
    const questions = ['q1', 'bad', 'q2'];
    const options = { retries: 0, concurrency: 1 };
    await expect(run(dataset(...questions), options)).rejects.toMatchObject({
      code: 'endpoint_refused',
      message: expect.stringMatching(/HTTP 500.*the question id-bad/),
      hint: expect.stringContaining('failed: skip'),
    });
    const skipping = { ...options, failed: 'skip' };
    const { rows } = await run(dataset(...questions), skipping);
    expect(rows('dataset').map((row) => row.id)).toEqual(['id-q1', 'id-q2']);
    expect(rows('decisions')[1]).toMatchObject({ rule: 'refused', evidence: expect.stringContaining('HTTP 500') });
    expect(timesAsked('q1')).toBe(1);
    const down = Array.from({ length: 20 }, (_, index) => `down${index}`);
    await expect(run(dataset('q3', ...down), skipping)).rejects.toMatchObject({ code: 'endpoint_refused' });
    expect(requests.filter(({ question }) => question.startsWith('down'))).toHaveLength(8);
  });

  it('keeps a reply with half a character, which tables cannot hold', async () => {
    behave = () => reply('4 \ud83d', { reasoning_content: 'two \udc00 and 😀' });
    const { rows } = await run(dataset('a'));
    expect(rows('dataset')).toMatchObject([{ answer: '4 \ufffd', reasoning: 'two \ufffd and 😀' }]);
  });

  it('gives up after its retries, keeps what it has, and later asks only for the rest', async () => {
    behave = (question, _, response) => {
      if (question !== 'down') return thought(question);
      response.statusCode = 503;
      return {};
    };
    const options = { retries: 1, concurrency: 1 };
    await expect(run(dataset('a', 'b', 'down'), options)).rejects.toMatchObject({ code: 'endpoint_refused' });
    expect(timesAsked('down')).toBe(2);
    behave = thought;
    const { rows } = await run(dataset('a', 'b', 'down'), options);
    expect(rows('dataset')).toHaveLength(3);
    expect(['a', 'b', 'down'].map(timesAsked)).toEqual([1, 1, 3]);
  });

  it('stops below its dollars, counting what is in flight at its most, and goes on with more', async () => {
    behave = thought;
    // A reply costs 0.0011 dollars, and may cost 0.002 and a little.
    const price = { inputPerMillion: 1, outputPerMillion: 1 };
    const questions = Array.from({ length: 20 }, (_, index) => `q${index}`);
    const capped = { price, maxTokens: 2000, maxDollars: 0.01, concurrency: 8 };
    await expect(run(dataset(...questions), capped)).rejects.toMatchObject({
      code: 'spending_cap_reached',
      message: expect.stringMatching(/has cost \$0\.00(77|88) of at most \$0\.01/),
      hint: expect.not.stringContaining('maxTokens'),
    });
    const paid = requests.length;
    expect(paid * 0.0011).toBeLessThanOrEqual(0.01);
    expect(paid).toBeGreaterThanOrEqual(7);
    const { rows, events } = await run(dataset(...questions), { ...capped, maxDollars: 1 });
    expect(rows('dataset')).toHaveLength(20);
    expect(requests).toHaveLength(20);
    const metric = events.find((event) => event.type === 'metric.measured' && event.data.name === 'distill.dollars');
    expect((metric!.data as { value: number }).value).toBeCloseTo(20 * 0.0011, 10);
  });

  it('lets every question wait where the server tells one to', async () => {
    behave = (question, _, response) => {
      if (requests.length > 1) return thought(question);
      response.writeHead(429, { 'retry-after': '1' });
      return {};
    };
    await run(dataset('a', 'b', 'c', 'd'), { concurrency: 1 });
    expect(requests[1]!.at - requests[0]!.at).toBeGreaterThanOrEqual(990);
    requests = [];
    behave = (question, _, response) => {
      if (requests.length > 1) return thought(question);
      response.writeHead(503, { 'retry-after': new Date(Date.now() + 3600_000).toUTCString() });
      return {};
    };
    await expect(run(dataset('e'))).rejects.toMatchObject({
      code: 'endpoint_asks_to_wait',
      message: expect.stringContaining('60 minutes'),
    });
    expect(requests).toHaveLength(1);
  });

  it('stops at once when it is canceled, and keeps what was answered', async () => {
    const controller = new AbortController();
    behave = (question) => {
      if (question === 'a') return thought(question);
      // Never answers.
      controller.abort(new Error('canceled'));
      return undefined;
    };
    const options = { url: server.url, model: 'r1', concurrency: 1, timeoutMilliseconds: 600_000 };
    const given = { options, inputs: { dataset: dataset('a', 'b') }, scratchFolder };
    await expect(runStage(distill, { ...given, signal: controller.signal })).rejects.toThrow('canceled');
    behave = thought;
    expect((await runStage(distill, given)).rows('dataset')).toHaveLength(2);
    expect(['a', 'b'].map(timesAsked)).toEqual([1, 2]);
  });

  it('waits for what is under way when a question fails for good, since it is paid for', async () => {
    let release = () => {};
    const failed = new Promise<void>((resolve) => {
      release = resolve;
    });
    behave = (question, _, response) => {
      if (question !== 'bad') {
        void failed.then(() => response.end(JSON.stringify(thought(question))));
        return undefined;
      }
      response.statusCode = 401;
      response.once('close', () => release());
      return {};
    };
    const options = { concurrency: 3 };
    const questions = ['a', 'b', 'bad', 'later'];
    await expect(run(dataset(...questions), options)).rejects.toMatchObject({ code: 'endpoint_refused' });
    expect(questions.map(timesAsked)).toEqual([1, 1, 1, 0]);
    behave = thought;
    expect((await run(dataset(...questions), options)).rows('dataset')).toHaveLength(4);
    expect(questions.map(timesAsked)).toEqual([1, 1, 2, 1]);
  });

  it('asks many questions at the same time, and Node takes nothing of it for a leak', async () => {
    const warned: string[] = [];
    const listen = ({ message }: Error) => void warned.push(message);
    process.on('warning', listen);
    behave = thought;
    const questions = Array.from({ length: 40 }, (_, index) => `question ${index}`);
    expect((await run(dataset(...questions), { concurrency: 40 })).rows('dataset')).toHaveLength(40);
    process.off('warning', listen);
    expect(warned).toEqual([]);
  });

  it('counts what the server may count for answers that did not come, also of an attempt that was killed', async () => {
    behave = (question, request, response) => {
      if (question === 'silent' && request === 1) return undefined;
      if (question === 'down' && request === 1) {
        response.statusCode = 500;
        return {};
      }
      return thought(question);
    };
    // What was being answered when a core was killed: nobody knows what it cost, but not more than this.
    await run(dataset());
    const [digest = ''] = await readdir(join(scratchFolder, 'kept'));
    await appendFile(
      join(scratchFolder, 'kept', digest, 'key', 'replies.jsonl'),
      '{"asked":"id-killed","dollars":0.25}\n{"asked":"id-torn","do',
    );
    const price = { inputPerMillion: 0, outputPerMillion: 1 };
    const dollars = async () => {
      const { events } = await run(dataset('fine', 'down', 'silent', 'killed'), {
        price,
        maxTokens: 2000,
        maxDollars: 1,
        timeoutMilliseconds: silence,
      });
      const metric = events.find((event) => event.type === 'metric.measured' && event.data.name === 'distill.dollars');
      return (metric!.data as { value: number }).value;
    };
    // Four answers, the one that did not come at its most, and the killed one: also where it was asked again since.
    expect(await dollars()).toBeCloseTo(4 * 0.001 + 0.002 + 0.25, 10);
    expect(await dollars()).toBeCloseTo(4 * 0.001 + 0.002 + 0.25, 10);
  });

  it('passes over a line of what is kept that is damaged, and pays again for nothing but that', async () => {
    behave = thought;
    await run(dataset('a', 'b', 'c', 'd'), { concurrency: 1 });
    const [digest = ''] = await readdir(join(scratchFolder, 'kept'));
    const file = join(scratchFolder, 'kept', digest, 'key', 'replies.jsonl');
    const lines = (await readFile(file, 'utf8')).split('\n');
    const damaged = lines.findIndex((line) => line.startsWith('{"of"') && line.includes('about b'));
    lines[damaged] = lines[damaged]!.replaceAll('"', '\0');
    await writeFile(file, lines.join('\n'));
    for (let again = 1; again <= 2; again += 1) {
      const { logged, rows } = await run(dataset('a', 'b', 'c', 'd'), { concurrency: 1 });
      expect(rows('dataset')).toHaveLength(4);
      expect(['a', 'b', 'c', 'd'].map(timesAsked)).toEqual([1, 2, 1, 1]);
      expect(logged).toContainEqual({
        level: 'warning',
        message: expect.stringContaining('replies.jsonl is damaged: 1 of its lines cannot be read'),
      });
    }
  });

  it('fails where the server takes no question at all, and asks again once it may', async () => {
    behave = (_, __, response) => {
      response.statusCode = 400;
      return { error: { message: 'no such model' } };
    };
    const questions = Array.from({ length: 50 }, (_, index) => `q${index}`);
    await expect(run(dataset(...questions), { concurrency: 1 })).rejects.toMatchObject({
      code: 'endpoint_refused',
      message: expect.stringContaining('no such model'),
    });
    expect(requests).toHaveLength(8);
    behave = thought;
    expect((await run(dataset(...questions))).rows('dataset')).toHaveLength(50);
  });

  it('has a trainer think, and drops what it cut or could not take', async () => {
    const trainer = scriptedTrainer((question) => {
      if (question === 'cut') return { thinking: 'on and on', answer: '', thinkingEnd: 'forced' };
      return { thinking: ` about ${question} `, answer: '4\n', thinkingEnd: 'natural' };
    });
    const long = 'x'.repeat(10_000);
    const result = await runStage(distill, {
      options: { trainer: 'teacher', thinkingFormat: 'r1', maxTokens: 500 },
      inputs: { dataset: dataset('a', 'cut', long, 'b'), teacher: memoryArtifact('model', '/model') },
      scratchFolder,
      trainer,
      seed: 5,
    });
    expect(result.rows('dataset').map(({ reasoning, answer, gold }) => [reasoning, answer, gold])).toEqual([
      ['about a', '4', 'gold'],
      ['about b', '4', 'gold'],
    ]);
    expect(result.rows('decisions').map((row) => row.rule)).toEqual([null, 'truncated', 'refused', null]);
    expect(trainer.requests[0]).toMatchObject({
      model: { kind: 'folder', folder: '/model' },
      sampling: { temperature: 0.6, topP: 0.95, maxAnswerTokens: 500, seed: 5 },
      thinkingFormat: { start: '<think>\n' },
      policies: [{ maxThinkingTokens: 500 }],
    });
    // Those that it answered are not asked again; the one that it cannot take costs nothing.
    await runStage(distill, {
      options: { trainer: 'teacher', thinkingFormat: 'r1', maxTokens: 500 },
      inputs: { dataset: dataset('a', 'cut', long, 'b'), teacher: memoryArtifact('model', '/model') },
      scratchFolder,
      trainer,
    });
    expect(trainer.requests.at(-1)?.prompts.map(({ id }) => id)).toEqual([`id-${long}`]);
  });

  it('takes what a model of a trainer writes before </think> for its trace', async () => {
    const trainer = scriptedTrainer(() => ({ answer: 'two and two\n</think>\n\n4' }));
    const options = { trainer: 'teacher' };
    const inputs = { dataset: dataset('a'), teacher: memoryArtifact('model', '/model') };
    const { rows } = await runStage(distill, { options, inputs, scratchFolder, trainer });
    expect(rows('dataset')[0]).toMatchObject({ reasoning: 'two and two', answer: '4' });
    await expect(runStage(distill, { options, inputs: { dataset: dataset('b') }, trainer })).rejects.toMatchObject({
      code: 'model_missing',
      hint: expect.stringContaining('Add teacher:'),
    });
  });

  it('begins no more requests in a minute than it may', async () => {
    behave = thought;
    await run(dataset('a', 'b', 'c'), { requestsPerMinute: 300 });
    const times = requests.map(({ at }) => at);
    expect(times.at(-1)! - times[0]!).toBeGreaterThanOrEqual(300);
  });

  it('needs a price where the budget limits dollars', () => {
    const check = (more: object) =>
      distill.check?.(distill.options.parse({ url: server.url, model: 'r1', ...more }), {
        recipeFolder: '.',
        isUsdLimited: true,
      });
    expect(check({})).toMatchObject([{ code: 'price_missing', path: 'price' }]);
    expect(check({ price: { inputPerMillion: 0, outputPerMillion: 0 } })).toEqual([]);
  });

  it('refuses a cap without a price', () => {
    const parsed = distill.options.parse({ url: server.url, model: 'r1', maxDollars: 1 });
    expect(distill.check?.(parsed, { recipeFolder: '.' })).toMatchObject([{ code: 'price_missing' }]);
  });
});
