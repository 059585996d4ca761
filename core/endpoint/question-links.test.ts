import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, symlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { processIdentity } from '../process/process-identity.js';
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

it('has who comes second wait until the other process is gone, and then take it', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  await isAskedBy({ ...(await processIdentity(child.pid!)), host: hostname() });
  const other = links.take(question);
  expect(other?.by).toBe(`process ${child.pid}`);
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

it.each([
  ['on another machine', { pid: process.pid, startTime: 'then', host: 'elsewhere' }],
  ['that nobody can read', {}],
])('does not wait for a process %s, and leaves what it said', async (_, asker) => {
  await isAskedBy(asker);
  expect(links.take(question)).toBeUndefined();
  links.free(question);
  expect(await asked()).toEqual([question]);
});
