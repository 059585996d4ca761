import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitForLock } from './wait-for-lock.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simmer-lock-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('lets one in at a time, and the next when the first gives it back', async () => {
  const { signal } = new AbortController();
  const order: string[] = [];
  const work = async (name: string) => {
    await using _ = await waitForLock(join(folder, 'work'), { signal, onWait: () => order.push(`${name} waits`) });
    order.push(`${name} in`);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(`${name} out`);
  };
  await Promise.all([work('a'), work('b')]);
  const [first] = order.filter((line) => line.endsWith(' in'));
  const name = first?.[0];
  const other = name === 'a' ? 'b' : 'a';
  expect(order.filter((line) => !line.endsWith('waits'))).toEqual([
    `${name} in`,
    `${name} out`,
    `${other} in`,
    `${other} out`,
  ]);
  expect(order).toContain(`${other} waits`);
});

it('stops waiting when it is told to', async () => {
  const controller = new AbortController();
  await using _ = await waitForLock(folder, { signal: controller.signal, onWait: () => {} });
  const waiting = waitForLock(folder, {
    signal: controller.signal,
    onWait: () => controller.abort(new Error('enough')),
  });
  await expect(waiting).rejects.toThrow('enough');
});
