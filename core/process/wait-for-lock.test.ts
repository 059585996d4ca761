import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { isStopped } from './process-identity.js';
import { acquireRunLock } from './run-lock.js';
import { waitForLock } from './wait-for-lock.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

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

it('says who has it: the run that it is for, and not the name of the folder', async () => {
  const digest = join(folder, 'a'.repeat(64));
  const why = async (holder: { readonly runId?: string }) => {
    const controller = new AbortController();
    const { signal } = controller;
    await using _ = await waitForLock(digest, { signal, onWait: () => {}, ...holder });
    const told: string[] = [];
    const onWait = (text: string) => {
      told.push(text);
      controller.abort();
    };
    await expect(waitForLock(digest, { signal, onWait })).rejects.toThrow();
    return told.join().replace(/\d{4}-[\d-]+T[\d:.]+Z/, 'TIME');
  };
  const who = `process ${process.pid} on ${hostname()}, since TIME.`;
  expect(await why({})).toBe(`It is with ${who}`);
  expect(await why({ runId: 'r-1' })).toBe(`It is with run r-1: ${who} Follow it with: simmer watch r-1`);
});

it('says what to do where the process that has it is stopped', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  child.kill('SIGSTOP');
  await expect.poll(() => isStopped(child.pid!)).toBe(true);
  const controller = new AbortController();
  const { signal } = controller;
  await using lock = await acquireRunLock(folder);
  await writeFile(join(folder, 'owner.json'), JSON.stringify({ ...lock.owner, pid: child.pid }));
  const told: string[] = [];
  const onWait = (text: string) => {
    told.push(text);
    controller.abort();
  };
  await expect(waitForLock(folder, { signal, onWait })).rejects.toThrow();
  child.kill('SIGKILL');
  expect(told).toEqual([expect.stringContaining(`Process ${child.pid} is stopped: have it go on with fg`)]);
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
