import { rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event } from './catalogue.js';
import { entries, eventsIn, fact, faulty, systemError, telemetry, writeFacts } from './run-log.fixture.js';
import { type LogFile, RunLog } from './run-log.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'events.jsonl');
});

describe('a log', () => {
  it('holds one event a line, and goes on where it ended', async () => {
    await writeFacts(file, 2);
    await writeFacts(file, 3);
    expect(await eventsIn(file)).toEqual([fact(1), fact(2), fact(3)]);
  });

  it('is made where it is missing', async () => {
    const { log, lastSequence, droppedBytes } = await RunLog.open(file);
    await log.close();
    expect({ lastSequence, droppedBytes }).toEqual({ lastSequence: 0, droppedBytes: 0 });
    expect((await stat(file)).size).toBe(0);
  });

  it('resolves in the order of the calls', async () => {
    const { log } = await RunLog.open(file);
    const order: number[] = [];
    const appended = [1, 2, 3, 4, 5].map(async (sequence) => {
      await log.append(entries(sequence % 2 === 0 ? telemetry(sequence) : fact(sequence)));
      order.push(sequence);
    });
    await Promise.all(appended);
    await log.close();
    expect(order).toEqual([1, 2, 3, 4, 5]);
  });

  it('writes what gathers during a sync in one go', async () => {
    const calls: string[] = [];
    let release: (() => void) | undefined;
    let isFirst = true;
    const { log } = await RunLog.open(file, {
      fileSystem: faulty({
        calls,
        sync: async () => {
          if (calls.length < 2 || !isFirst) return;
          isFirst = false;
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        },
      }),
    });
    calls.length = 0;
    const first = log.append(entries(fact(1)));
    while (release === undefined) await new Promise(setImmediate);
    const others = [2, 3, 4].map((sequence) => log.append(entries(fact(sequence))));
    release();
    await Promise.all([first, ...others]);
    await log.close();
    expect(calls).toEqual(['write 1', 'sync', 'write 3', 'sync']);
    expect(await eventsIn(file)).toEqual([1, 2, 3, 4].map((sequence) => fact(sequence)));
  });

  it('writes what is appended at once in as few writes as hold it, and a longer line alone', async () => {
    const calls: string[] = [];
    const { log } = await RunLog.open(file, { fileSystem: faulty({ calls }) });
    calls.length = 0;
    const lengths = [300_000, 300_000, 300_000, 300_000, 3_000_000, 10, 10];
    const long = lengths.map((length, index): Event => {
      // Three bytes a character: a write is measured in bytes.
      const data = { name: '値'.repeat(length / 3), value: 1 };
      return { ...fact(index + 1), type: 'metric.measured', data };
    });
    await log.append(entries(...long));
    await log.close();
    expect(calls.filter((call) => call !== 'sync')).toEqual(['write 3', 'write 1', 'write 1', 'write 2']);
    expect(await eventsIn(file)).toEqual(long);
    const opened = await RunLog.open(file);
    await opened.log.close();
    expect(opened).toMatchObject({ lastSequence: 7, droppedBytes: 0 });
  });

  it('acknowledges nothing once its file was removed, though the system goes on taking it', async () => {
    const { log } = await RunLog.open(file);
    await log.append(entries(fact(1)));
    await rm(file);
    await expect(log.append(entries(fact(2)))).rejects.toMatchObject({
      code: 'log_failed',
      message: expect.stringContaining('it was removed'),
      hint: expect.stringContaining('Start the recipe anew'),
    });
    await log.close();
    await expect(log.failure).resolves.toMatchObject({ code: 'log_failed' });
  });

  it('takes what is appended in the moment in which a write ends', async () => {
    const { log } = await RunLog.open(file);
    for (let sequence = 1; sequence <= 50; sequence += 1) await log.append(entries(fact(sequence)));
    await log.close();
    expect(await eventsIn(file)).toHaveLength(50);
  });

  it('lets telemetry wait for company, and a fact take it along', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const calls: string[] = [];
      const { log } = await RunLog.open(file, { fileSystem: faulty({ calls }) });
      await log.append(entries(fact(1)));
      calls.length = 0;
      const waiting = [2, 3].map((sequence) => log.append(entries(telemetry(sequence))));
      vi.advanceTimersByTime(5);
      await new Promise(setImmediate);
      expect(calls).toEqual([]);
      waiting.push(log.append(entries(telemetry(4))));
      vi.advanceTimersByTime(5);
      await Promise.all(waiting);
      expect(calls.splice(0)).toEqual(['write 3', 'sync']);
      await Promise.all([log.append(entries(telemetry(5))), log.append(entries(fact(6)))]);
      expect(calls).toEqual(['write 2', 'sync']);
      await log.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('writes lone telemetry by itself', async () => {
    const { log } = await RunLog.open(file);
    await log.append(entries(telemetry(1)));
    await log.append(entries(telemetry(2)));
    expect(await eventsIn(file)).toHaveLength(2);
    await log.close();
  });

  it('writes what is pending when it is closed, and takes nothing after', async () => {
    const { log } = await RunLog.open(file);
    await log.append(entries(fact(1)));
    const last = log.append(entries(telemetry(2)));
    await log.close();
    await last;
    await log.close();
    expect(await eventsIn(file)).toHaveLength(2);
    await expect(log.append(entries(fact(3)))).rejects.toThrow(/is closed/);
  });

  it('refuses a sequence out of turn, and takes the next', async () => {
    const { log } = await RunLog.open(file);
    expect(() => log.append(entries(fact(2)))).toThrow('expects the sequence 1, not 2');
    await log.append(entries(fact(1)));
    await log.close();
    expect(await eventsIn(file)).toEqual([fact(1)]);
  });
});

describe('a log that fails', () => {
  const faults: readonly [string, Partial<LogFile>, string, string][] = [
    ['ENOSPC', { write: () => Promise.reject(systemError('ENOSPC')) }, 'no_disk_space', 'no space left'],
    ['a quota', { write: () => Promise.reject(systemError('EDQUOT')) }, 'no_disk_space', 'no space left'],
    ['EIO', { write: () => Promise.reject(systemError('EIO')) }, 'log_failed', 'EIO'],
    ['a short write', { write: async (bytes) => bytes.length - 1 }, 'log_failed', 'only a part'],
  ];

  it.each(faults)('on %s says so, and acknowledges nothing more', async (_name, hooks, code, words) => {
    const { log } = await RunLog.open(file, { fileSystem: faulty(hooks) });
    const appended = [log.append(entries(fact(1))), log.append(entries(fact(2)))];
    const error = await log.failure;
    expect(error).toMatchObject({ code, kind: 'environment', message: expect.stringContaining(words) });
    expect(error).toHaveProperty('hint', expect.stringContaining(`simmer resume ${basename(folder)}`));
    expect(await Promise.allSettled(appended)).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    await expect(log.append(entries(fact(3)))).rejects.toBe(error);
    await log.close();
  });

  it('on a sync cuts off what was not acknowledged, although later syncs would succeed', async () => {
    let syncs = 0;
    const { log } = await RunLog.open(file, {
      fileSystem: faulty({
        sync: async () => {
          syncs += 1;
          if (syncs === 3) throw systemError('EIO');
        },
      }),
    });
    await log.append(entries(fact(1)));
    const refused = [log.append(entries(fact(2))), log.append(entries(telemetry(3)))];
    expect((await Promise.allSettled(refused)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await log.close();
    expect(await eventsIn(file)).toEqual([fact(1)]);
    expect((await RunLog.open(file)).lastSequence).toBe(1);
  });

  it('keeps the first error', async () => {
    let writes = 0;
    const { log } = await RunLog.open(file, {
      fileSystem: faulty({
        write: () => {
          writes += 1;
          return Promise.reject(systemError(writes === 1 ? 'EIO' : 'ENOSPC'));
        },
        truncate: () => Promise.reject(systemError('EROFS')),
      }),
    });
    await expect(log.append(entries(fact(1)))).rejects.toMatchObject({ code: 'log_failed' });
    await log.close();
    expect(await log.failure).toMatchObject({ message: expect.stringContaining('EIO') });
  });

  it('names what a nearly full disk said of the rest', async () => {
    let writes = 0;
    const { log } = await RunLog.open(file, {
      fileSystem: faulty({
        write: async () => {
          writes += 1;
          if (writes === 1) return 10;
          throw systemError('ENOSPC');
        },
      }),
    });
    await expect(log.append(entries(fact(1)))).rejects.toMatchObject({ code: 'no_disk_space' });
    await log.close();
  });

  it('gives up where more waits than it may hold', async () => {
    let release: () => void = () => undefined;
    const { log } = await RunLog.open(file, {
      maxPendingBytes: 1000,
      fileSystem: faulty({
        write: (bytes) =>
          new Promise((resolve) => {
            release = () => resolve(bytes.length);
          }),
      }),
    });
    const first = log.append(entries(fact(1)));
    await new Promise(setImmediate);
    const others = Array.from({ length: 20 }, (_, index) =>
      log.append(entries(fact(index + 2))).catch((error) => error),
    );
    expect(await others[0]).toMatchObject({ code: 'log_failed', message: expect.stringContaining('too slow') });
    release();
    await first;
    await log.close();
  });

  it('is not opened on a folder, and says so', async () => {
    await expect(RunLog.open(folder)).rejects.toMatchObject({ code: 'log_failed', kind: 'environment' });
    await expect(RunLog.open(join(folder, 'none', 'events.jsonl'))).rejects.toMatchObject({ code: 'log_failed' });
  });
});
