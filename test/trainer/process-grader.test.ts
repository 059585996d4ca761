import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startProcessGrader } from '../../core/grader/process-grader.js';
import { runCommand } from '../../core/process/run-command.js';
import { temporaryFolder } from '../temporary-folder.js';

const program = resolve(import.meta.dirname, '../../dist/test/trainer/fake-grader.js');
const { signal } = new AbortController();

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  // Sockets and output go here, so that what is left can be seen.
  vi.stubEnv('XDG_RUNTIME_DIR', folder);
  expect(existsSync(program), 'run "npx tsc" first').toBe(true);
});
afterEach(() => vi.unstubAllEnvs());

const start = (env: Record<string, string> = {}) =>
  startProcessGrader({ name: 'fake', command: { argv: [process.execPath, program], env }, signal });
const item = (id: number, answer: string) => ({ id: String(id), gold: '42', answer });

describe('a grader in a process', () => {
  it('answers in the order asked, over several calls, and leaves nothing behind', async () => {
    const grader = await start();
    const items = Array.from({ length: 300 }, (_, index) => item(index, ['42', '41', ''][index % 3] as string));
    const [grades, others] = await Promise.all([grader.grade(items), grader.grade([item(7, '42')])]);
    await grader[Symbol.asyncDispose]();

    expect(grades.map((grade) => grade.id)).toEqual(items.map(({ id }) => id));
    expect(grades.slice(0, 3).map((grade) => grade.verdict)).toEqual(['right', 'wrong', 'unparsed']);
    expect(others).toMatchObject([{ id: '7', verdict: 'right' }]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is asked in messages that hold the answers, however long', async () => {
    await using grader = await start();
    const items = Array.from({ length: 120 }, (_, index) => item(index, 'a'.repeat(600_000)));
    const grades = await grader.grade(items);
    expect(grades.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
  });

  it('is told the question of an answer, where it is known', async () => {
    await using grader = await start();
    const grades = await grader.grade([{ ...item(1, '42'), question: '6 * 7?' }, item(2, '42')]);
    expect(grades.map(({ explanation }) => explanation)).toEqual(['6 * 7?', 'not asked']);
  });

  it('that dies is started again, and asked once more', async () => {
    const grader = await start({ FAKE_GRADER_DIED: join(folder, 'died') });
    expect(await grader.grade([item(1, '42'), item(2, 'die')])).toMatchObject([
      { verdict: 'right' },
      { verdict: 'wrong' },
    ]);
    await grader[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual(['died']);
  });

  it('that dies of the same answers again is an error with the end of its stderr', async () => {
    const grader = await start();
    await expect(grader.grade([item(1, 'die')])).rejects.toMatchObject({
      code: 'grader_exited',
      message: expect.stringMatching(/failed twice: it ended with signal SIGKILL.*dies of an answer/s),
    });
    await grader[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual([]);
  });

  it('stops when it is told to', async () => {
    const grader = await start();
    const stop = AbortSignal.abort(new Error('Ctrl-C'));
    await expect(grader.grade([item(1, '42')], stop)).rejects.toThrow('Ctrl-C');
    await grader[Symbol.asyncDispose]();
  });

  it('ends with the core, however that ends', async () => {
    const script = `import { startProcessGrader } from ${JSON.stringify(resolve(import.meta.dirname, '../../dist/core/grader/process-grader.js'))};
const { signal } = new AbortController();
await startProcessGrader({ name: 'fake', command: { argv: [process.execPath, ${JSON.stringify(program)}], env: {} }, signal });
process.kill(process.pid, 'SIGKILL');`;
    const core = await runCommand([process.execPath, '--input-type=module', '-e', script], { signal });
    expect(core.signal).toBe('SIGKILL');
    const alive = async () => {
      const { stdout } = await runCommand(['ps', '-axo', 'stat=,args='], { signal });
      return stdout.split('\n').filter((line) => line.includes(program) && !line.startsWith('Z'));
    };
    await expect.poll(alive).toEqual([]);
  });
});
