import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Plan } from '../recipe/plan.js';
import { createRunFolder, ofEachRun } from './run-folder.js';

const { drawn } = vi.hoisted(() => ({ drawn: [] as string[] }));
vi.mock(import('node:crypto'), async (original) => ({
  ...(await original()),
  randomBytes: ((bytes: number) => Buffer.from(drawn.shift() ?? '0'.repeat(2 * bytes), 'hex')) as never,
}));

const plan = { recipe: 'r', trainers: {}, stages: [] } as unknown as Plan;

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
  vi.useFakeTimers({ now: new Date('2026-01-01'), toFake: ['Date'] });
});
afterEach(async () => {
  vi.useRealTimers();
});

it('runs that are made in the same second have ids of their own, made one after the other or at once', async () => {
  const runs = join(home, 'runs');
  const create = (recipeText: string) => createRunFolder(runs, { plan, recipeText });
  drawn.push('aaaa');
  const first = await create('first');
  drawn.push('aaaa', 'bbbb', 'bbbb', 'cccc');
  const [second, third] = await Promise.all([create('second'), create('third')]);
  const made = [first, second, third];
  expect(made.map(({ runId }) => runId.split('-').at(-1)).toSorted()).toEqual(['aaaa', 'bbbb', 'cccc']);
  expect((await readdir(runs)).toSorted()).toEqual(made.map(({ runId }) => runId).toSorted());
  const texts = made.map(({ runFolder }) => readFile(join(runFolder, 'recipe.yaml'), 'utf8'));
  expect(await Promise.all(texts)).toEqual(['first', 'second', 'third']);
});

it('of many runs a few are read at a time', async () => {
  const runs = join(home, 'runs');
  const ids = Array.from({ length: 100 }, (_, index) => `r-${index}`);
  for (const id of ids) await mkdir(join(runs, id), { recursive: true });
  let underWay = 0;
  let most = 0;
  const read = await ofEachRun(ids, async (id) => {
    underWay += 1;
    most = Math.max(most, underWay);
    await readdir(join(runs, id));
    underWay -= 1;
    return id;
  });
  expect(read.toSorted()).toEqual(ids.toSorted());
  expect(most).toBe(16);
});
