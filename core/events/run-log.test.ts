import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Event } from './catalogue.js';
import { nodeLogFileSystem } from './log-file-system.js';
import { type LogFile, type LogFileSystem, RunLog } from './run-log.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simmer-log-'));
  file = join(folder, 'events.jsonl');
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function fact(sequence: number, value = sequence): Event {
  const data = { name: 'loss', value };
  return { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type: 'metric.measured', data };
}

function telemetry(sequence: number): Event {
  const data = { done: sequence, total: null, unit: 'rows' };
  return { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type: 'stage.progressed', data };
}

async function events(): Promise<readonly Event[]> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => JSON.parse(line));
}

/** Writes facts 1 to count, each in a write of its own. */
async function writeFacts(count: number): Promise<void> {
  const { log, lastSequence } = await RunLog.open(file);
  for (let sequence = lastSequence + 1; sequence <= count; sequence += 1) await log.append(fact(sequence));
  await log.close();
}

/** A file system that does as the hooks say; what they leave out, it does for real. */
function faulty(hooks: Partial<LogFile> & { readonly calls?: string[] }): LogFileSystem {
  return {
    syncFolder: (path) => nodeLogFileSystem.syncFolder(path),
    async open(path) {
      const real = await nodeLogFileSystem.open(path);
      return {
        read: (buffer, position) => real.read(buffer, position),
        write: (bytes, position) => {
          hooks.calls?.push(`write ${bytes.toString().split('\n').length - 1}`);
          return (hooks.write ?? real.write.bind(real))(bytes, position);
        },
        truncate: (length) => (hooks.truncate ?? real.truncate.bind(real))(length),
        sync: () => {
          hooks.calls?.push('sync');
          return (hooks.sync ?? real.sync.bind(real))();
        },
        close: () => real.close(),
      };
    },
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}

describe('a log', () => {
  it('holds one event a line, and goes on where it ended', async () => {
    await writeFacts(2);
    await writeFacts(3);
    expect(await events()).toEqual([fact(1), fact(2), fact(3)]);
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
      await log.append(sequence % 2 === 0 ? telemetry(sequence) : fact(sequence));
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
    const first = log.append(fact(1));
    while (release === undefined) await new Promise(setImmediate);
    const others = [2, 3, 4].map((sequence) => log.append(fact(sequence)));
    release();
    await Promise.all([first, ...others]);
    await log.close();
    expect(calls).toEqual(['write 1', 'sync', 'write 3', 'sync']);
    expect(await events()).toEqual([1, 2, 3, 4].map((sequence) => fact(sequence)));
  });

  it('takes what is appended in the moment in which a write ends', async () => {
    const { log } = await RunLog.open(file);
    for (let sequence = 1; sequence <= 50; sequence += 1) await log.append(fact(sequence));
    await log.close();
    expect(await events()).toHaveLength(50);
  });

  it('lets telemetry wait for company, and a fact take it along', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const calls: string[] = [];
      const { log } = await RunLog.open(file, { fileSystem: faulty({ calls }) });
      await log.append(fact(1));
      calls.length = 0;
      const waiting = [2, 3].map((sequence) => log.append(telemetry(sequence)));
      vi.advanceTimersByTime(5);
      await new Promise(setImmediate);
      expect(calls).toEqual([]);
      waiting.push(log.append(telemetry(4)));
      vi.advanceTimersByTime(5);
      await Promise.all(waiting);
      expect(calls.splice(0)).toEqual(['write 3', 'sync']);
      await Promise.all([log.append(telemetry(5)), log.append(fact(6))]);
      expect(calls).toEqual(['write 2', 'sync']);
      await log.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('writes lone telemetry by itself', async () => {
    const { log } = await RunLog.open(file);
    await log.append(telemetry(1));
    await log.append(telemetry(2));
    expect(await events()).toHaveLength(2);
    await log.close();
  });

  it('writes what is pending when it is closed, and takes nothing after', async () => {
    const { log } = await RunLog.open(file);
    await log.append(fact(1));
    const last = log.append(telemetry(2));
    await log.close();
    await last;
    await log.close();
    expect(await events()).toHaveLength(2);
    await expect(log.append(fact(3))).rejects.toThrow(/is closed/);
  });

  it('refuses a sequence out of turn, and data that is not JSON, and takes the next', async () => {
    const { log } = await RunLog.open(file);
    expect(() => log.append(fact(2))).toThrow('expects the sequence 1, not 2');
    expect(() => log.append(fact(1, 1n as unknown as number))).toThrow(TypeError);
    await log.append(fact(1));
    await log.close();
    expect(await events()).toEqual([fact(1)]);
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
    const appended = [log.append(fact(1)), log.append(fact(2))];
    const error = await log.failure;
    expect(error).toMatchObject({ code, kind: 'environment', message: expect.stringContaining(words) });
    expect(error).toHaveProperty('hint', expect.stringContaining('simmer resume'));
    expect(await Promise.allSettled(appended)).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    await expect(log.append(fact(3))).rejects.toBe(error);
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
    await log.append(fact(1));
    const refused = [log.append(fact(2)), log.append(telemetry(3))];
    expect((await Promise.allSettled(refused)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await log.close();
    expect(await events()).toEqual([fact(1)]);
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
    await expect(log.append(fact(1))).rejects.toMatchObject({ code: 'log_failed' });
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
    await expect(log.append(fact(1))).rejects.toMatchObject({ code: 'no_disk_space' });
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
    const first = log.append(fact(1));
    await new Promise(setImmediate);
    const others = Array.from({ length: 20 }, (_, index) => log.append(fact(index + 2)).catch((error) => error));
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

describe('opening a log', () => {
  it('cuts off a torn last line', async () => {
    await writeFacts(3);
    const whole = (await stat(file)).size;
    await appendFile(file, '{"runId":"r","sequence":4,"ti');
    const { log, lastSequence, droppedBytes } = await RunLog.open(file);
    await log.close();
    expect({ lastSequence, droppedBytes, size: (await stat(file)).size }).toEqual({
      lastSequence: 3,
      droppedBytes: 29,
      size: whole,
    });
  });

  it('cuts off a last line that is whole but for its line end', async () => {
    await writeFacts(3);
    await truncate(file, (await stat(file)).size - 1);
    const { log, lastSequence } = await RunLog.open(file);
    await log.close();
    expect(lastSequence).toBe(2);
    expect(await events()).toHaveLength(2);
  });

  it('cuts off pages of zeros that a power cut left of the last write', async () => {
    await writeFacts(2);
    const { log } = await RunLog.open(file);
    await Promise.all([3, 4, 5, 6].map((sequence) => log.append(fact(sequence))));
    await log.close();
    const bytes = await readFile(file);
    const third = bytes.toString().split('\n').slice(0, 2).join('\n').length + 20;
    await writeFile(file, bytes.fill(0, third, third + 100));
    const opened = await RunLog.open(file);
    await opened.log.close();
    expect(opened.lastSequence).toBe(2);
    expect(await events()).toEqual([fact(1), fact(2)]);
  });

  it('refuses zeros in what was durable', async () => {
    await writeFacts(6);
    const bytes = await readFile(file);
    await writeFile(file, bytes.fill(0, 250, 260));
    await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'log_damaged' });
    expect(await readFile(file)).toEqual(bytes);
  });

  it.each([
    [
      'a changed line',
      (lines: string[]) => [lines[0]!, lines[1]!.replace('{', '['), lines[2]!],
      'Line 2',
      'is not JSON',
    ],
    ['a last line that was changed', (lines: string[]) => [...lines.slice(0, 2), 'x'], 'Line 3', 'is not JSON'],
    ['a missing line', (lines: string[]) => [lines[0]!, lines[2]!], 'Line 2', 'has the sequence 3, not 2'],
    ['a line told twice', (lines: string[]) => [...lines, lines[2]!], 'Line 4', 'has the sequence 3, not 4'],
    ['lines in another order', (lines: string[]) => lines.toReversed(), 'Line 1', 'has the sequence 3, not 1'],
    [
      'an event of another run',
      (lines: string[]) => [...lines.slice(0, 2), lines[2]!.replace('"r"', '"s"')],
      'Line 3',
      'the run s',
    ],
    ['an empty line', (lines: string[]) => [lines[0]!, '', ...lines.slice(1)], 'Line 2', 'is not JSON'],
    ['an event without data', (lines: string[]) => [lines[0]!.replace('"data"', '"date"')], 'Line 1', 'has no data'],
    ['an event without time', (lines: string[]) => [lines[0]!.replace('2026', 'x')], 'Line 1', 'has no time'],
  ])('refuses %s, and changes nothing', async (_name, change, ...words) => {
    await writeFacts(3);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const text = change(lines).map((line) => `${line}\n`);
    await writeFile(file, text);
    const error: Error = await RunLog.open(file).then(
      () => expect.unreachable(),
      (error) => error,
    );
    expect(error).toMatchObject({ code: 'log_damaged', kind: 'environment' });
    for (const word of [file, ...words]) expect(error.message).toContain(word);
    expect(await readFile(file, 'utf8')).toBe(text.join(''));
  });

  it('takes types that it does not know, and refuses a newer format', async () => {
    const data = { format: 1, simmerVersion: '1', recipe: 'x', planDigest: '', seed: 1 } as const;
    const created = { ...fact(1), type: 'run.created', data };
    const unknown = { ...fact(2), type: 'moon.risen', data: { phase: 3 } };
    await writeFile(file, `${JSON.stringify(created)}\n${JSON.stringify(unknown)}\n`);
    const { log, lastSequence } = await RunLog.open(file);
    await log.close();
    expect(lastSequence).toBe(2);
    await writeFile(file, `${JSON.stringify({ ...created, data: { ...data, format: 2 } })}\n`);
    await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'newer_format' });
  });

  it('reads lines longer than its buffer', async () => {
    const { log } = await RunLog.open(file);
    const long = { ...fact(1), data: { name: 'x'.repeat(1_500_000), value: 1 } } as Event;
    await Promise.all([log.append(long), log.append(fact(2)), log.append({ ...long, sequence: 3 } as Event)]);
    await log.close();
    const opened = await RunLog.open(file);
    await opened.log.close();
    expect(opened.lastSequence).toBe(3);
  });
});

describe('whatever is emitted, and wherever the file is cut', () => {
  /** Bursts of events that are emitted in one go; true stands for telemetry. */
  const bursts = fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 });

  async function writeBursts(sizes: readonly (readonly boolean[])[]): Promise<readonly Event[]> {
    const { log, lastSequence } = await RunLog.open(file);
    const written: Event[] = [];
    let sequence = lastSequence;
    for (const burst of sizes) {
      const appended = burst.map((isTelemetry) => {
        sequence += 1;
        written.push(isTelemetry ? telemetry(sequence) : fact(sequence));
        return log.append(written.at(-1)!);
      });
      if (burst.length % 2 === 0) await Promise.all(appended);
    }
    await log.close();
    return written;
  }

  it('what is found is a beginning of what was written, without a gap, and goes on', async () => {
    await fc.assert(
      fc.asyncProperty(bursts, bursts, fc.double({ min: 0, max: 1, noNaN: true }), async (before, after, share) => {
        await rm(file, { force: true });
        const written = await writeBursts(before);
        const bytes = await readFile(file);
        const cut = Math.floor(bytes.length * share);
        await truncate(file, cut);
        const whole = bytes.subarray(0, cut).toString().split('\n').length - 1;
        const { log, lastSequence, droppedBytes } = await RunLog.open(file);
        await log.close();
        expect(lastSequence).toBe(whole);
        expect(droppedBytes).toBe(cut - (bytes.subarray(0, cut).lastIndexOf('\n') + 1));
        const more = await writeBursts(after);
        expect(await events()).toEqual([...written.slice(0, whole), ...more]);
      }),
      { numRuns: 60 },
    );
  });

  it('lost pages of the last write cost nothing before it, and lost pages before it are never passed over', async () => {
    await fc.assert(
      fc.asyncProperty(bursts, fc.array(fc.nat(), { minLength: 1, maxLength: 4 }), async (before, pages) => {
        await rm(file, { force: true });
        await writeBursts(before);
        const durable = (await stat(file)).size;
        const { log, lastSequence } = await RunLog.open(file);
        await Promise.all([1, 2, 3, 4, 5].map((step) => log.append(fact(lastSequence + step))));
        await log.close();
        const bytes = await readFile(file);
        const lost = Buffer.from(bytes);
        for (const page of pages) {
          const start = durable + (page % (bytes.length - durable));
          lost.fill(0, start, Math.min(start + 64, bytes.length));
        }
        await writeFile(file, lost);
        const opened = await RunLog.open(file);
        await opened.log.close();
        expect(opened.lastSequence).toBeGreaterThanOrEqual(lastSequence);
        const kept = await readFile(file);
        expect(kept).toEqual(bytes.subarray(0, kept.length));

        // The line end between the two is the one byte that belongs to both.
        const damaged = Buffer.from(bytes);
        damaged[pages[0]! % (durable - 1)] = 0;
        await writeFile(file, damaged);
        await expect(RunLog.open(file)).rejects.toMatchObject({ code: 'log_damaged' });
      }),
      { numRuns: 60 },
    );
  });
});
