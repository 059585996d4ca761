import { appendFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import type { Event } from '../../events/catalogue.js';
import { nodeLogFileSystem } from '../../events/log-file-system.js';
import { entries, formatEventLine } from '../../events/run-log.fixture.js';
import { type LogFileSystem, RunLog } from '../../events/run-log.js';
import { WatchRunResponse } from '../../generated/simmer/control/v1/control.js';
import { DurableWrites } from './durable-writes.js';
import { LogTail } from './log-tail.js';

const runId = 'a';
const time = '2026-01-01T00:00:00.000Z';

function event(sequence: number, count: number): Event {
  if (sequence === count) return { runId, sequence, time, type: 'run.interrupted', data: { reason: 'the end' } };
  const data = { done: sequence, total: null, unit: 'rows'.repeat(1 + (sequence % 50)) };
  return { runId, sequence, time, type: 'stage.progressed', data };
}

/** Everything from a sequence to the end of the run, as somebody who watches gets it. */
async function readFrom(tail: LogTail, sequence: number): Promise<readonly number[]> {
  const { signal } = new AbortController();
  const seen: number[] = [];
  let position = await tail.seek(sequence, signal);
  for (;;) {
    const part = position === undefined ? undefined : await tail.next(position, signal);
    if (part === undefined) return seen;
    for (const { item } of WatchRunResponse.decode(part.message).items) {
      if (item?.$case === 'event') seen.push((JSON.parse(item.value.json) as Event).sequence);
    }
    position = part.next;
  }
}

async function watched(groups: readonly number[], tailAt: number, readers: readonly number[], isHere: boolean) {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  const count = groups.reduce((sum, size) => sum + size, 0);
  const writes = new DurableWrites();
  const fileSystem: LogFileSystem = isHere ? writes.over(nodeLogFileSystem) : nodeLogFileSystem;
  const { log } = await RunLog.open(file, { fileSystem });
  const reading: Promise<readonly number[]>[] = [];
  let tail: LogTail | undefined;
  let sequence = 0;
  for (const [index, size] of groups.entries()) {
    if (index === tailAt % groups.length) {
      tail = await LogTail.open(file, writes);
      for (const reader of readers) reading.push(readFrom(tail, 1 + (reader % count)));
    }
    await log.append(entries(...Array.from({ length: size }, () => event(++sequence, count))));
  }
  const read = await Promise.all(reading);
  await log.close();
  await tail?.[Symbol.asyncDispose]();
  return { read, expected: readers.map((reader) => sequencesFrom(1 + (reader % count), count)) };
}

function sequencesFrom(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

it('whoever reads at the tail of a log gets each event once and in order, whoever writes it', async () => {
  const groups = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 2, maxLength: 12 });
  const readers = fc.array(fc.nat(), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(groups, fc.nat(), readers, fc.boolean(), async (groups, tailAt, readers, isHere) => {
      const { read, expected } = await watched(groups, tailAt, readers, isHere);
      expect(read).toEqual(expected);
    }),
    { numRuns: 40 },
  );
});

it('what this process writes is not read back from the file', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  const writes = new DurableWrites();
  const { log } = await RunLog.open(file, { fileSystem: writes.over(nodeLogFileSystem) });
  await log.append(entries(event(1, 4)));
  await using tail = await LogTail.open(file, writes);
  const reading = readFrom(tail, 1);
  await expect.poll(() => tail.isReadingFile).toBe(false);
  for (const sequence of [2, 3, 4]) {
    const appended = log.append(entries(event(sequence, 4)));
    await appended;
    // Told with the acknowledgement, before anybody could have read it.
    expect(tail.lastSequence).toBe(sequence);
  }
  expect(await reading).toEqual([1, 2, 3, 4]);
  await log.close();
});

it('whoever has gone is given nothing more, however much there is', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  const { log } = await RunLog.open(file);
  await log.append(entries(event(1, 2)));
  await log.close();
  await using tail = await LogTail.open(file, new DurableWrites());
  const gone = new AbortController();
  const position = await tail.seek(1, gone.signal);
  gone.abort();
  expect(await tail.next(position!, gone.signal)).toBeUndefined();
});

it('has more where the file was written to past its writer, and tells it', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  const { signal } = new AbortController();
  const writes = new DurableWrites();
  const { log } = await RunLog.open(file, { fileSystem: writes.over(nodeLogFileSystem) });
  await log.append(entries(event(1, 1)));
  await using tail = await LogTail.open(file, writes);
  const start = await tail.seek(1, signal);
  const part = await tail.next(start!, signal);
  expect(await tail.next(part!.next, signal)).toBeUndefined();
  expect(await tail.hasMore(part!.next, signal)).toBe(false);
  await log.close();
  await appendFile(file, `${formatEventLine(event(2, 2))}\n`);
  expect(await tail.hasMore(part!.next, signal)).toBe(true);
  expect((await tail.next(part!.next, signal))?.next.sequence).toBe(3);
});

it('has no more where its writer left half a line, also where garbage is collected while that is waited for', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  await writeFile(file, `${formatEventLine(event(1, 2))}\n{"runId":`);
  await using tail = await LogTail.open(file, new DurableWrites());
  const { signal } = new AbortController();
  const part = await tail.next((await tail.seek(1, signal))!, signal);
  setFlagsFromString('--expose-gc');
  const collecting = setInterval(runInNewContext('gc') as () => void, 100);
  try {
    expect(await tail.hasMore(part!.next, signal)).toBe(false);
  } finally {
    clearInterval(collecting);
  }
});

it('a log is read once to find its lines, and once for who watches it, into one buffer and its messages', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'events.jsonl');
  const lines = sequencesFrom(1, 20_000).map((sequence) => `${formatEventLine(event(sequence, 20_000))}\n`);
  await writeFile(file, lines.join(''));
  const { size } = await stat(file);
  const allocated = vi.spyOn(Buffer, 'allocUnsafe');
  await using tail = await LogTail.open(file, new DurableWrites());
  expect(await readFrom(tail, 1)).toEqual(sequencesFrom(1, 20_000));
  const bytes = allocated.mock.calls.reduce((sum, [length]) => sum + length, 0);
  allocated.mockRestore();
  // The bytes of each message, and the message.
  expect(bytes).toBeLessThan(2.5 * size);
});
