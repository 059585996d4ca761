import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { askedBeside } from '../artifacts/store-home.js';
import { deferred } from '../deferred.js';
import { silentLog } from '../plugin/log.js';
import { processIdentity } from '../process/process-identity.js';
import { EarlierReplies, type KeptReply, replyDigest } from './earlier-replies.js';
import { PaidReplies } from './paid-replies.js';
import { ReplyJournal } from './reply-journal.js';

interface Said extends KeptReply {
  readonly text: string;
}

let place: string;
let asked: number;
beforeEach(async () => {
  place = join(await temporaryFolder(), 'place');
  asked = 0;
});
afterEach(() => void vi.useRealTimers());

async function folderOf(run: string): Promise<string> {
  await mkdir(join(place, run), { recursive: true });
  return join(place, run);
}

const repliesOf = async (run: string) => PaidReplies.open<Said>(await folderOf(run), silentLog);
const of = replyDigest('What is it?');
const said = (text: string): Said => {
  const paid = { inputTokens: 1, outputTokens: 1, dollars: 1 };
  return { of, id: of, text, finish: 'stop', ...paid, maxTokens: 8 };
};
const unstopped = new AbortController().signal;

/** A server that answers when it is told to. */
function heldServer() {
  const held = deferred<Said>();
  const ask = async () => {
    asked++;
    return { reply: await held.promise, isKept: true };
  };
  return { ask, answer: (text: string) => held.resolve(said(text)), fail: () => held.reject(new Error('it is down')) };
}

it('asks once what is asked at the same time, and keeps the reply in the folder of each', async () => {
  const { ask, answer } = heldServer();
  const [first, other] = [await repliesOf('first'), await repliesOf('other')];
  const both = [first.to(of, 8, ask, unstopped), other.to(of, 8, ask, unstopped), other.to(of, 8, ask, unstopped)];
  answer('four');
  expect((await Promise.all(both)).map(({ text }) => text)).toEqual(['four', 'four', 'four']);
  expect(asked).toBe(1);
  await first[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  for (const run of ['first', 'other']) expect((await EarlierReplies.in(join(place, run))).size).toBe(1);
});

it('asks itself where the other fails, and waits no longer than it may', async () => {
  const { ask, fail } = heldServer();
  await using first = await repliesOf('first');
  await using other = await repliesOf('other');
  const failing = expect(first.to(of, 8, ask, unstopped)).rejects.toThrow('it is down');
  const stopping = new AbortController();
  const stopped = expect(other.to(of, 8, ask, stopping.signal)).rejects.toThrow('stopped');
  stopping.abort(new Error('stopped'));
  await stopped;
  const waiting = other.to(of, 8, async () => ({ reply: said('four'), isKept: true }), unstopped);
  fail();
  await failing;
  expect((await waiting).text).toBe('four');
  expect(asked).toBe(1);
});

it('says once which other process it waits for', async () => {
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(other, 'spawn');
  await mkdir(askedBeside(place), { recursive: true });
  const asker = { ...(await processIdentity(other.pid!)), host: hostname() };
  await symlink(JSON.stringify(asker), join(askedBeside(place), of));
  const told: string[] = [];
  const log = { ...silentLog, info: (message: string) => void told.push(message) };
  await using replies = await PaidReplies.open<Said>(await folderOf('first'), log);
  const stopping = new AbortController();
  const ask = async () => ({ reply: said('four'), isKept: true });
  const waiting = [1, 2].map(() => expect(replies.to(of, 8, ask, stopping.signal)).rejects.toThrow('stopped'));
  stopping.abort(new Error('stopped'));
  await Promise.all(waiting);
  other.kill();
  expect(told).toEqual([`Waiting for replies to questions that process ${other.pid} asks, too.`]);
});

it('gives nothing more once it is stopped, kept or not', async () => {
  await using replies = await repliesOf('first');
  const stopping = new AbortController();
  const ask = async () => ({ reply: said('four'), isKept: true });
  await replies.to(of, 8, ask, stopping.signal);
  stopping.abort(new Error('stopped'));
  await expect(replies.to(of, 8, ask, stopping.signal)).rejects.toThrow('stopped');
});

it('finds again what was kept with its fields in any order, and with an id of its own', async () => {
  const { of: digest, maxTokens, ...rest } = said('four');
  const reply: Said = { maxTokens, ...rest, id: 'row 1', of: digest };
  const asks = async () => {
    asked++;
    return { reply, isKept: true };
  };
  for (const run of ['first', 'first', 'other']) {
    await using replies = await repliesOf(run);
    expect((await replies.to(of, 8, asks, unstopped)).text).toBe('four');
  }
  expect(asked).toBe(1);
});

it('is told of a reply what it cannot know, and says the rest', async () => {
  await using replies = await repliesOf('first');
  const reply = { text: 'four', finish: 'stop', inputTokens: 1, outputTokens: 1, dollars: 1 };
  const asks = async () => ({ reply, isKept: true });
  const whole = { ...reply, id: of, of, maxTokens: 8 };
  for (const _ of ['asked', 'kept']) expect(await replies.to(of, 8, asks, unstopped)).toEqual(whole);
});

it('ends when what is under way is kept', async () => {
  const { ask, answer } = heldServer();
  const replies = await repliesOf('first');
  const reply = replies.to(of, 8, ask, unstopped);
  const ended = replies[Symbol.asyncDispose]();
  answer('four');
  await Promise.all([reply, ended]);
  expect((await EarlierReplies.in(join(place, 'first'))).size).toBe(1);
});

it('finds what another process keeps meanwhile', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const earlier = await EarlierReplies.beside<Said>(await folderOf('first'));
  await using other = await ReplyJournal.open<Said>(await folderOf('other'));
  expect(await earlier.find(of, 8)).toBeUndefined();
  await other.add(said('four'));
  vi.advanceTimersByTime(1001);
  const found = [earlier.find(of, 8)];
  // The second comes while the first has it read, which no microtask ends.
  for (let turn = 0; turn < 20; turn++) await undefined;
  found.push(earlier.find(of, 8));
  expect(await Promise.all(found)).toMatchObject([{ text: 'four' }, { text: 'four' }]);
});

it('looks into the journals again after what others of this process were answered, and not after its own replies', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const earlier = await EarlierReplies.beside<Said>(await folderOf('first'));
  const beside = await EarlierReplies.beside<Said>(await folderOf('beside'));
  await using other = await ReplyJournal.open<Said>(await folderOf('other'));
  await other.add(said('four'));
  const answered = (replies: EarlierReplies<Said>) => {
    const claim = replies.claim(replyDigest('Is it?'));
    if ('release' in claim) claim.release();
  };
  answered(earlier);
  expect(await earlier.find(of, 8)).toBeUndefined();
  answered(beside);
  expect(await earlier.find(of, 8)).toMatchObject({ text: 'four' });
});

it('overlooks nothing in a journal that somebody has written to lately', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  await using other = await ReplyJournal.open<Said>(await folderOf('other'));
  await other.asked('Is it?', 1);
  const earlier = await EarlierReplies.beside<Said>(await folderOf('first'));
  await other.add(said('four'));
  expect(await earlier.find(of, 8)).toMatchObject({ text: 'four' });
});
