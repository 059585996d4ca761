import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, symlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { silentLog } from '../plugin/log.js';
import { processIdentity, processPlace } from '../process/process-identity.js';
import { QuestionLinks } from './question-links.js';

const unstopped = new AbortController().signal;
const question = 'a-question';

let place: string;
let links: QuestionLinks;
beforeEach(async () => {
  place = join(await temporaryFolder(), 'place');
  links = await QuestionLinks.of(place);
});

const asked = () => readdir(`${place}.asked`);
async function isAskedBy(asker: object): Promise<void> {
  await mkdir(`${place}.asked`, { recursive: true });
  await symlink(JSON.stringify(asker), join(`${place}.asked`, question));
}

it('says what this process asks for as long as it asks it', async () => {
  expect(links.take(question)).toBeUndefined();
  expect(await asked()).toEqual([question]);
  links.free(question);
  expect(await asked()).toEqual([]);
});

it.each([
  ['the other process', {}],
  ['one that began when this machine was called otherwise', { host: 'former' }],
])('has who comes second wait until %s is gone, and then take it', async (_, place) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  await isAskedBy({ ...(await processIdentity(child.pid!)), ...(await processPlace()), ...place });
  const other = links.take(question);
  expect(other).toBeDefined();
  const stopping = new AbortController();
  const stopped = expect(other?.wait(stopping.signal)).rejects.toThrow('stopped');
  stopping.abort(new Error('stopped'));
  await stopped;
  child.kill();
  await once(child, 'exit');
  await other?.wait(unstopped);
  expect(links.take(question)).toBeUndefined();
  links.free(question);
  expect(await asked()).toEqual([]);
});

it('says once who is waited for, and what to do where that one is stopped', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  await isAskedBy({ ...(await processIdentity(child.pid!)), host: hostname() });
  const told: string[] = [];
  const log = { ...silentLog, info: (said: string) => told.push(said), warning: (said: string) => told.push(said) };
  const waiting = [1, 2].map(() => links.take(question)?.wait(unstopped, log));
  const asks = `Waiting for replies to questions that process ${child.pid} asks, too.`;
  await expect.poll(() => told).toEqual([asks]);
  child.kill('SIGSTOP');
  const stopped = expect.stringContaining(`Process ${child.pid} is stopped: have it go on with fg`);
  await expect.poll(() => told).toEqual([asks, stopped]);
  child.kill('SIGKILL');
  await Promise.all(waiting);
  expect(told).toHaveLength(2);
});

it.each([
  ['on another machine', { pid: process.pid, startTime: 'then', host: 'elsewhere' }],
  ['that nobody can read', {}],
])('does not wait for a process %s, and leaves what it said', async (_, asker) => {
  await isAskedBy(asker);
  expect(links.take(question)).toBeUndefined();
  links.free(question);
  expect(await asked()).toEqual([question]);
});
