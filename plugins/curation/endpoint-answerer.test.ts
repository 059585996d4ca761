import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { dollarsOf, questionTable, reply, startTeacher, thought } from './teacher.fixture.js';

const teacher = startTeacher();
/** After which an answer is waited for no more, in milliseconds: any that comes is there by then, also on a busy machine. */
const silence = 3000;

describe('an API that questions are asked', () => {
  it('outlives 429, 500, half a body and silence, and honours Retry-After', async () => {
    teacher.behave = (question, request, response) => {
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
    const { rows } = await teacher.distill(questionTable(...questions), { timeoutMilliseconds: silence });
    expect(rows('dataset').map((row) => row.reasoning)).toEqual(questions.map((question) => `about ${question}`));
    expect(questions.map(teacher.timesAsked)).toEqual([2, 2, 2, 2, 1]);
    const [first, second] = teacher.requests.filter(({ question }) => question === 'busy');
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(990);
  });

  it.each([
    ['an error with status 200', { error: { code: 502, message: 'upstream' } }, 'endpoint_refused', 'upstream'],
    ['no choice', { choices: [], usage: { prompt_tokens: 1, completion_tokens: 0 } }, 'endpoint_invalid', 'without a'],
    ['half a reply', reply('two and', {}, 'insufficient_system_resource'), 'endpoint_broke_off', 'insufficient_system'],
  ])('asks again where a server without room answers %s', async (_, failure, code, message) => {
    teacher.behave = () => failure;
    await expect(teacher.distill(questionTable('a'), { retries: 1 })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(teacher.timesAsked('a')).toBe(2);
    teacher.behave = (question, request) => (request === 3 ? failure : thought(question));
    expect((await teacher.distill(questionTable('a'))).rows('dataset')).toMatchObject([{ answer: 'a!' }]);
  });

  it.each([
    { prompt_tokens: -100, completion_tokens: -1e6 },
    { prompt_tokens: 10.5, completion_tokens: '20' },
    undefined,
  ])('counts the most that a reply can cost where the server counts %j', async (usage) => {
    teacher.behave = (question) => ({ ...thought(question), usage });
    const { events } = await teacher.distill(questionTable('a'), {
      price: { inputPerMillion: 0, outputPerMillion: 1 },
      maxTokens: 5000,
    });
    const figures = events.flatMap(({ type, data }) => (type === 'metric.measured' ? [[data.name, data.value]] : []));
    expect(Object.fromEntries(figures)).toMatchObject({ 'distill.dollars': 0.005, 'distill.output-tokens': 5000 });
  });

  it('goes on without a question that always fails, where asked, and else names it', async () => {
    teacher.behave = (question, _, response) => {
      if (question.startsWith('q')) return thought(question);
      response.statusCode = 500;
      return {};
    };
    const questions = ['q1', 'bad', 'q2'];
    const options = { retries: 0, concurrency: 1 };
    await expect(teacher.distill(questionTable(...questions), options)).rejects.toMatchObject({
      code: 'endpoint_refused',
      message: expect.stringMatching(/HTTP 500.*the question id-bad/),
      hint: expect.stringContaining('failed: skip'),
    });
    const skipping = { ...options, failed: 'skip' };
    const { rows } = await teacher.distill(questionTable(...questions), skipping);
    expect(rows('dataset').map((row) => row.id)).toEqual(['id-q1', 'id-q2']);
    expect(rows('decisions')[1]).toMatchObject({ rule: 'refused', evidence: expect.stringContaining('HTTP 500') });
    expect(teacher.timesAsked('q1')).toBe(1);
    const down = Array.from({ length: 20 }, (_, index) => `down${index}`);
    await expect(teacher.distill(questionTable('q3', ...down), skipping)).rejects.toMatchObject({
      code: 'endpoint_refused',
    });
    expect(teacher.requests.filter(({ question }) => question.startsWith('down'))).toHaveLength(8);
  });

  it('gives up after its retries, keeps what it has, and later asks only for the rest', async () => {
    teacher.behave = (question, _, response) => {
      if (question !== 'down') return thought(question);
      response.statusCode = 503;
      return {};
    };
    const options = { retries: 1, concurrency: 1 };
    await expect(teacher.distill(questionTable('a', 'b', 'down'), options)).rejects.toMatchObject({
      code: 'endpoint_refused',
    });
    expect(teacher.timesAsked('down')).toBe(2);
    teacher.behave = thought;
    const { rows } = await teacher.distill(questionTable('a', 'b', 'down'), options);
    expect(rows('dataset')).toHaveLength(3);
    expect(['a', 'b', 'down'].map(teacher.timesAsked)).toEqual([1, 1, 3]);
  });

  it('stops below its dollars, counting what is in flight at its most, and goes on with more', async () => {
    teacher.behave = thought;
    // A reply costs 0.0011 dollars, and may cost 0.002 and a little.
    const price = { inputPerMillion: 1, outputPerMillion: 1 };
    const questions = Array.from({ length: 20 }, (_, index) => `q${index}`);
    const capped = { price, maxTokens: 2000, maxDollars: 0.01, concurrency: 8 };
    await expect(teacher.distill(questionTable(...questions), capped)).rejects.toMatchObject({
      code: 'spending_cap_reached',
      message: expect.stringMatching(/has cost \$0\.00(77|88) of at most \$0\.01/),
      hint: expect.stringMatching(/^Raise `maxDollars` in the recipe, (?!.*maxTokens)/),
    });
    const paid = teacher.requests.length;
    expect(paid * 0.0011).toBeLessThanOrEqual(0.01);
    expect(paid).toBeGreaterThanOrEqual(7);
    const result = await teacher.distill(questionTable(...questions), { ...capped, maxDollars: 1 });
    expect(result.rows('dataset')).toHaveLength(20);
    expect(teacher.requests).toHaveLength(20);
    expect(dollarsOf(result)).toBeCloseTo(20 * 0.0011, 10);
  });

  it('lets every question wait where the server tells one to', async () => {
    teacher.behave = (question, _, response) => {
      if (teacher.requests.length > 1) return thought(question);
      response.writeHead(429, { 'retry-after': '1' });
      return {};
    };
    await teacher.distill(questionTable('a', 'b', 'c', 'd'), { concurrency: 1 });
    expect(teacher.requests[1]!.at - teacher.requests[0]!.at).toBeGreaterThanOrEqual(990);
    teacher.requests = [];
    teacher.behave = (question, _, response) => {
      if (teacher.requests.length > 1) return thought(question);
      response.writeHead(503, { 'retry-after': new Date(Date.now() + 3600_000).toUTCString() });
      return {};
    };
    await expect(teacher.distill(questionTable('e'))).rejects.toMatchObject({
      code: 'endpoint_asks_to_wait',
      message: expect.stringContaining('60 minutes'),
    });
    expect(teacher.requests).toHaveLength(1);
  });

  it('stops at once when it is canceled, and keeps what was answered', async () => {
    const controller = new AbortController();
    teacher.behave = (question) => {
      if (question === 'a') return thought(question);
      // Never answers.
      controller.abort(new Error('canceled'));
      return undefined;
    };
    const run = (signal?: AbortSignal) =>
      teacher.distill(
        questionTable('a', 'b'),
        { concurrency: 1, timeoutMilliseconds: 600_000 },
        signal === undefined ? {} : { signal },
      );
    await expect(run(controller.signal)).rejects.toThrow('canceled');
    teacher.behave = thought;
    expect((await run()).rows('dataset')).toHaveLength(2);
    expect(['a', 'b'].map(teacher.timesAsked)).toEqual([1, 2]);
  });

  it('waits for what is under way when a question fails for good, since it is paid for', async () => {
    const { promise: failed, resolve: release } = deferred<void>();
    teacher.behave = (question, _, response) => {
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
    await expect(teacher.distill(questionTable(...questions), options)).rejects.toMatchObject({
      code: 'endpoint_refused',
    });
    expect(questions.map(teacher.timesAsked)).toEqual([1, 1, 1, 0]);
    teacher.behave = thought;
    expect((await teacher.distill(questionTable(...questions), options)).rows('dataset')).toHaveLength(4);
    expect(questions.map(teacher.timesAsked)).toEqual([1, 1, 2, 1]);
  });

  it('asks many questions at the same time, and Node takes nothing of it for a leak', async () => {
    const warned: string[] = [];
    const listen = ({ message }: Error) => void warned.push(message);
    process.on('warning', listen);
    teacher.behave = thought;
    const questions = Array.from({ length: 40 }, (_, index) => `question ${index}`);
    expect((await teacher.distill(questionTable(...questions), { concurrency: 40 })).rows('dataset')).toHaveLength(40);
    process.off('warning', listen);
    expect(warned).toEqual([]);
  });

  it('counts what the server may count for answers that did not come, also of an attempt that was killed', async () => {
    teacher.behave = (question, request, response) => {
      if (question === 'silent' && request === 1) return undefined;
      if (question === 'down' && request === 1) {
        response.statusCode = 500;
        return {};
      }
      return thought(question);
    };
    // What was being answered when a core was killed: nobody knows what it cost, but not more than this.
    await teacher.distill(questionTable());
    const [digest = ''] = await readdir(join(teacher.scratchFolder, 'kept'));
    await appendFile(
      join(teacher.scratchFolder, 'kept', digest, 'key', 'replies.jsonl'),
      '{"asked":"id-killed","dollars":0.25}\n{"asked":"id-torn","do',
    );
    const price = { inputPerMillion: 0, outputPerMillion: 1 };
    const options = { price, maxTokens: 2000, maxDollars: 1, timeoutMilliseconds: silence };
    const dollars = async () =>
      dollarsOf(await teacher.distill(questionTable('fine', 'down', 'silent', 'killed'), options));
    // Four answers, the one that did not come at its most, and the killed one: also where it was asked again since.
    expect(await dollars()).toBeCloseTo(4 * 0.001 + 0.002 + 0.25, 10);
    expect(await dollars()).toBeCloseTo(4 * 0.001 + 0.002 + 0.25, 10);
  });

  it('passes over a line of what is kept that is damaged, and pays again for nothing but that', async () => {
    teacher.behave = thought;
    await teacher.distill(questionTable('a', 'b', 'c', 'd'), { concurrency: 1 });
    const [digest = ''] = await readdir(join(teacher.scratchFolder, 'kept'));
    const file = join(teacher.scratchFolder, 'kept', digest, 'key', 'replies.jsonl');
    const lines = (await readFile(file, 'utf8')).split('\n');
    const damaged = lines.findIndex((line) => line.startsWith('{"of"') && line.includes('about b'));
    lines[damaged] = lines[damaged]!.replaceAll('"', '\0');
    await writeFile(file, lines.join('\n'));
    for (let again = 1; again <= 2; again += 1) {
      const { logged, rows } = await teacher.distill(questionTable('a', 'b', 'c', 'd'), { concurrency: 1 });
      expect(rows('dataset')).toHaveLength(4);
      expect(['a', 'b', 'c', 'd'].map(teacher.timesAsked)).toEqual([1, 2, 1, 1]);
      expect(logged).toContainEqual({
        level: 'warning',
        message: expect.stringContaining('replies.jsonl is damaged: 1 of its lines cannot be read'),
      });
    }
  });

  it('fails where the server takes no question at all, and asks again once it may', async () => {
    teacher.behave = (_, __, response) => {
      response.statusCode = 400;
      return { error: { message: 'no such model' } };
    };
    const questions = Array.from({ length: 50 }, (_, index) => `q${index}`);
    await expect(teacher.distill(questionTable(...questions), { concurrency: 1 })).rejects.toMatchObject({
      code: 'endpoint_refused',
      message: expect.stringContaining('no such model'),
    });
    expect(teacher.requests).toHaveLength(8);
    teacher.behave = thought;
    expect((await teacher.distill(questionTable(...questions))).rows('dataset')).toHaveLength(50);
  });

  it('begins no more requests in a minute than it may', async () => {
    teacher.behave = thought;
    await teacher.distill(questionTable('a', 'b', 'c'), { requestsPerMinute: 300 });
    const times = teacher.requests.map(({ at }) => at);
    expect(times.at(-1)! - times[0]!).toBeGreaterThanOrEqual(300);
  });
});
