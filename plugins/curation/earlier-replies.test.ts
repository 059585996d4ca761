import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryTable, runStage } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ChatServer, startChatServer } from './chat-server.fixture.js';
import { distill } from './distill.stage.js';

/** How the teacher answers. */
let finish: (question: string) => string;
let asked: string[];
let server: ChatServer;
let scratchFolder: string;

beforeEach(async () => {
  scratchFolder = await mkdtemp(join(tmpdir(), 'simmer-earlier-'));
  finish = () => 'stop';
  asked = [];
  server = await startChatServer(({ messages }) => {
    const question = messages.at(-1)?.content ?? '';
    asked.push(question);
    return {
      choices: [
        {
          finish_reason: finish(question),
          message: { content: `${question}!`, reasoning_content: `about ${question}` },
        },
      ],
      usage: { prompt_tokens: 100, completion_tokens: 1000 },
    };
  });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(scratchFolder, { recursive: true });
});

const dataset = (...questions: readonly string[]) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR' },
    questions.map((question) => ({ id: `id-${question}`, question })),
  );
/** @param key stands for the dataset: each is another run of the stage */
const run = (key: string, table: ReturnType<typeof dataset>, options: Readonly<Record<string, unknown>> = {}) =>
  runStage(distill, {
    options: { url: server.url, model: 'r1', ...options },
    inputs: { dataset: table },
    scratchFolder,
    key,
  });
const timesAsked = (question: string) => asked.filter((one) => one === question).length;
async function removeKept(key: string): Promise<void> {
  const kept = join(scratchFolder, 'kept');
  for (const digest of await readdir(kept)) await rm(join(kept, digest, key), { recursive: true, force: true });
}

describe('a stage that asks an API, with other rows than before', () => {
  const price = { inputPerMillion: 0, outputPerMillion: 1 };
  const dollarsOf = ({ events }: Awaited<ReturnType<typeof run>>) => {
    const metric = events.find((event) => event.type === 'metric.measured' && event.data.name === 'distill.dollars');
    return (metric!.data as { value: number }).value;
  };

  it('asks only what no run has paid for, and counts only that', async () => {
    await run('first', dataset('a', 'b'), { price });
    const second = await run('second', dataset('a', 'b', 'c'), { price });
    expect(['a', 'b', 'c'].map(timesAsked)).toEqual([1, 1, 1]);
    expect(second.rows('dataset').map(({ reasoning }) => reasoning)).toEqual(['about a', 'about b', 'about c']);
    expect(dollarsOf(second)).toBeCloseTo(0.001, 10);
    expect(second.logged.map(({ message }) => message)).toContainEqual(
      expect.stringContaining('2 replies were paid for'),
    );

    // What it took over is its own: the first run may be removed.
    await removeKept('first');
    const third = await run('third', dataset('b', 'a', 'd'), { price, concurrency: 1 });
    expect(['a', 'b', 'd'].map(timesAsked)).toEqual([1, 1, 1]);
    expect(third.rows('dataset').map(({ answer }) => answer)).toEqual(['b!', 'a!', 'd!']);
  });

  it('counts an attempt of its own once more, and what it took over never', async () => {
    await run('first', dataset('a'), { price });
    const second = () => run('second', dataset('a', 'b'), { price });
    await second();
    expect(dollarsOf(await second())).toBeCloseTo(0.001, 10);
    expect(['a', 'b'].map(timesAsked)).toEqual([1, 1]);
  });

  it.each([
    ['another model', { model: 'r2' }],
    ['another temperature', { temperature: 0.1 }],
    ['another system message', { system: 'Be brief.' }],
    ['less room than the reply might have taken', { maxTokens: 1500 }],
  ])('asks again for %s', async (_, changed) => {
    await run('first', dataset('a'), { maxTokens: 2000 });
    await run('second', dataset('a'), { maxTokens: 2000, ...changed });
    expect(timesAsked('a')).toBe(2);
  });

  it('asks again for what was cut, where there is more room', async () => {
    finish = (question) => (question === 'long' ? 'length' : 'stop');
    await run('first', dataset('long', 'short'), { maxTokens: 1000 });
    await run('second', dataset('long', 'short', 'other'), { maxTokens: 1000 });
    expect(['long', 'short'].map(timesAsked)).toEqual([1, 1]);
    await run('third', dataset('long', 'short'), { maxTokens: 2000 });
    expect(['long', 'short'].map(timesAsked)).toEqual([2, 1]);
  });

  it.each([
    ['1-short', '2-long'],
    ['2-short', '1-long'],
  ])('takes the reply that is good enough of several, kept as %s and %s', async (short, long) => {
    finish = () => 'length';
    await run(short, dataset('a'), { maxTokens: 1000 });
    finish = () => 'stop';
    await run(long, dataset('a'), { maxTokens: 2000 });
    expect(timesAsked('a')).toBe(2);
    await run('third', dataset('a', 'b'), { maxTokens: 2000 });
    await run('fourth', dataset('a', 'c'), { maxTokens: 1000 });
    expect(timesAsked('a')).toBe(2);
  });

  it('reads around what another run left unfinished, or damaged', async () => {
    await run('first', dataset('a', 'b'));
    const [digest = ''] = await readdir(join(scratchFolder, 'kept'));
    const file = join(scratchFolder, 'kept', digest, 'first', 'replies.jsonl');
    const [whole = '', damaged = ''] = (await readFile(file, 'utf8'))
      .split('\n')
      .filter((line) => line.includes('"of"'));
    await writeFile(file, `${whole}\n${damaged.replace('"answer"', '\0answer"')}\n{"of":"0123`);
    await mkdir(join(scratchFolder, 'kept', digest, 'nothing'));
    const { rows } = await run('second', dataset('a', 'b'));
    expect(rows('dataset')).toHaveLength(2);
    expect(['a', 'b'].map(timesAsked).sort()).toEqual([1, 2]);
  });
});
