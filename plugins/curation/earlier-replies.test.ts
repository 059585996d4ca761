import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { askedBeside } from '../../core/artifacts/store-home.js';
import { processIdentity } from '../../core/process/process-identity.js';
import { dollarsOf, questionTable, reply, startTeacher, thought } from './teacher.fixture.js';

const teacher = startTeacher();
const cut = (question: string) => reply(`${question}!`, { reasoning_content: `about ${question}` }, 'length');
/** @param key stands for the dataset: each is another run of the stage */
const run = (key: string, table: ReturnType<typeof questionTable>, options: Readonly<Record<string, unknown>> = {}) =>
  teacher.distill(table, options, { key });
async function removeKept(key: string): Promise<void> {
  const kept = join(teacher.scratchFolder, 'kept');
  for (const digest of await readdir(kept)) await rm(join(kept, digest, key), { recursive: true, force: true });
}

describe('a stage that asks an API, with other rows than before', () => {
  const price = { inputPerMillion: 0, outputPerMillion: 1 };

  it('asks only what no run has paid for, and counts only that', async () => {
    await run('first', questionTable('a', 'b'), { price });
    const second = await run('second', questionTable('a', 'b', 'c'), { price });
    expect(['a', 'b', 'c'].map(teacher.timesAsked)).toEqual([1, 1, 1]);
    expect(second.rows('dataset').map(({ reasoning }) => reasoning)).toEqual(['about a', 'about b', 'about c']);
    expect(dollarsOf(second)).toBeCloseTo(0.001, 10);
    expect(second.logged.map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^Paid for by earlier runs .*: 2 replies\.$/),
    );

    // What it took over is its own: the first run may be removed.
    await removeKept('first');
    const third = await run('third', questionTable('b', 'a', 'd'), { price, concurrency: 1 });
    expect(['a', 'b', 'd'].map(teacher.timesAsked)).toEqual([1, 1, 1]);
    expect(third.rows('dataset').map(({ answer }) => answer)).toEqual(['b!', 'a!', 'd!']);
  });

  it('counts an attempt of its own once more, and what it took over never', async () => {
    await run('first', questionTable('a'), { price });
    const second = () => run('second', questionTable('a', 'b'), { price });
    await second();
    expect(dollarsOf(await second())).toBeCloseTo(0.001, 10);
    expect(['a', 'b'].map(teacher.timesAsked)).toEqual([1, 1]);
  });

  it('waits for no process that asks what it has a reply to', async () => {
    const again = () => run('first', questionTable('a'));
    await again();
    const kept = join(teacher.scratchFolder, 'kept');
    const [digest = ''] = (await readdir(kept)).sort();
    const line = await readFile(join(kept, digest, 'first', 'replies.jsonl'), 'utf8');
    const question = /"of":"(\w+)"/.exec(line)?.[1] ?? '';
    const asker = { ...(await processIdentity(process.ppid)), host: hostname() };
    await symlink(JSON.stringify(asker), join(askedBeside(join(kept, digest)), question));
    expect((await again()).rows('dataset')).toHaveLength(1);
    expect(teacher.timesAsked('a')).toBe(1);
  });

  it.each([
    ['another model', { model: 'r2' }],
    ['another temperature', { temperature: 0.1 }],
    ['another system message', { system: 'Be brief.' }],
    ['less room than the reply might have taken', { maxTokens: 1500 }],
  ])('asks again for %s', async (_, changed) => {
    await run('first', questionTable('a'), { maxTokens: 2000 });
    await run('second', questionTable('a'), { maxTokens: 2000, ...changed });
    expect(teacher.timesAsked('a')).toBe(2);
  });

  it('asks again for what was cut, where there is more room', async () => {
    teacher.behave = (question) => (question === 'long' ? cut(question) : thought(question));
    await run('first', questionTable('long', 'short'), { maxTokens: 1000 });
    await run('second', questionTable('long', 'short', 'other'), { maxTokens: 1000 });
    expect(['long', 'short'].map(teacher.timesAsked)).toEqual([1, 1]);
    await run('third', questionTable('long', 'short'), { maxTokens: 2000 });
    expect(['long', 'short'].map(teacher.timesAsked)).toEqual([2, 1]);
  });

  it.each([
    ['1-short', '2-long'],
    ['2-short', '1-long'],
  ])('takes the reply that is good enough of several, kept as %s and %s', async (short, long) => {
    teacher.behave = cut;
    await run(short, questionTable('a'), { maxTokens: 1000 });
    teacher.behave = thought;
    await run(long, questionTable('a'), { maxTokens: 2000 });
    expect(teacher.timesAsked('a')).toBe(2);
    await run('third', questionTable('a', 'b'), { maxTokens: 2000 });
    await run('fourth', questionTable('a', 'c'), { maxTokens: 1000 });
    expect(teacher.timesAsked('a')).toBe(2);
  });

  it('reads around what another run left unfinished, or damaged', async () => {
    await run('first', questionTable('a', 'b'));
    const [digest = ''] = await readdir(join(teacher.scratchFolder, 'kept'));
    const file = join(teacher.scratchFolder, 'kept', digest, 'first', 'replies.jsonl');
    const [whole = '', damaged = ''] = (await readFile(file, 'utf8'))
      .split('\n')
      .filter((line) => line.includes('"of"'));
    await writeFile(file, `${whole}\n${damaged.replace('"answer"', '\0answer"')}\n{"of":"0123`);
    await mkdir(join(teacher.scratchFolder, 'kept', digest, 'nothing'));
    const { rows } = await run('second', questionTable('a', 'b'));
    expect(rows('dataset')).toHaveLength(2);
    expect(['a', 'b'].map(teacher.timesAsked).sort()).toEqual([1, 2]);
  });
});
