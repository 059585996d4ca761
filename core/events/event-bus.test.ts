import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event, EventDraft } from './catalogue.js';
import { EventBus } from './event-bus.js';
import { nodeLogFileSystem } from './log-file-system.js';
import { type LogFileSystem, RunLog } from './run-log.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'events.jsonl');
});

async function openBus(fileSystem?: LogFileSystem) {
  const { log, lastSequence } = await RunLog.open(file, fileSystem === undefined ? {} : { fileSystem });
  const bus = new EventBus({ runId: 'r', log, lastSequence, now: () => new Date(0) });
  const seen: Event[] = [];
  let isComplete = false;
  bus.batches$.subscribe({
    next: (events) => seen.push(...events),
    error: () => expect.unreachable(),
    complete: () => {
      isComplete = true;
    },
  });
  return { bus, seen, isComplete: () => isComplete };
}

const measured = (value: number): EventDraft => ({ type: 'metric.measured', data: { name: 'loss', value } });
const progressed = (done: number): EventDraft => ({
  type: 'stage.progressed',
  stage: 'tuned',
  attempt: 1,
  data: { done, total: 9, unit: 'steps' },
});

async function lines(): Promise<readonly Event[]> {
  const text = await readFile(file, 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

it('gives times that go on where the clock is set back, since durations are taken from them', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const { log, lastSequence } = await RunLog.open(file);
  const bus = new EventBus({ runId: 'r', log, lastSequence });
  const before = await bus.emit(measured(1));
  vi.setSystemTime(Date.now() - 3_600_000);
  const after = await bus.emit(measured(2));
  expect(Date.parse(after.time)).toBeGreaterThanOrEqual(Date.parse(before.time));
  await bus.close();
});

/** Does nothing until it is let: what a disk does that takes its time. */
function held(): { readonly fileSystem: LogFileSystem; release(): void; fail(error: Error): void } {
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const gate = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  gate.catch(() => undefined);
  return {
    release: () => settle?.resolve(),
    fail: (error) => settle?.reject(error),
    fileSystem: {
      syncFolder: nodeLogFileSystem.syncFolder,
      async open(path) {
        const real = await nodeLogFileSystem.open(path);
        return {
          read: (buffer, position) => real.read(buffer, position),
          truncate: (length) => real.truncate(length),
          sync: () => real.sync(),
          close: () => real.close(),
          async write(bytes, position) {
            await gate;
            return real.write(bytes, position);
          },
        };
      },
    },
  };
}

describe('the bus', () => {
  it('gives each event its run, sequence and time, and goes on where the log ended', async () => {
    const first = await openBus();
    expect(await first.bus.emit(progressed(3))).toEqual({
      runId: 'r',
      sequence: 1,
      time: '1970-01-01T00:00:00.000Z',
      type: 'stage.progressed',
      stage: 'tuned',
      attempt: 1,
      data: { done: 3, total: 9, unit: 'steps' },
    });
    await first.bus.close();
    const second = await openBus();
    expect((await second.bus.emit(measured(1))).sequence).toBe(2);
    await second.bus.close();
  });

  it('shows nobody an event before it is durable', async () => {
    const { fileSystem, release } = held();
    const { bus, seen } = await openBus(fileSystem);
    const emitted = bus.emit(measured(1));
    await new Promise(setImmediate);
    expect(seen).toEqual([]);
    release();
    const event = await emitted;
    expect(seen).toEqual([event]);
    await bus.close();
  });

  it('shows an event to subscribers before its emitter goes on', async () => {
    const { bus, seen } = await openBus();
    for (let value = 1; value <= 20; value += 1) {
      await bus.emit(value % 3 === 0 ? progressed(value) : measured(value));
      expect(seen).toHaveLength(value);
    }
    await bus.close();
  });

  it('keeps the order of emits, whatever is telemetry and whoever emits while it fans out', async () => {
    const { bus, seen } = await openBus();
    bus.batches$.subscribe(([event]) => {
      if (event?.type === 'metric.measured' && event.data.value < 5) void bus.emit(measured(event.data.value + 1));
    });
    await Promise.all([bus.emit(measured(1)), bus.emit(progressed(1)), bus.emit(measured(3))]);
    while (seen.length < 9) await new Promise(setImmediate);
    await bus.close();
    expect(seen.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen).toEqual(await lines());
  });

  it('shows what a replay will show, though the emitter changes its object afterwards', async () => {
    const { bus, seen } = await openBus();
    const data = { name: 'loss', value: 1, unit: undefined as unknown as string };
    const emitted = bus.emit({ type: 'metric.measured', data });
    data.value = 2;
    await emitted;
    await bus.close();
    expect(seen).toEqual(await lines());
    expect(Object.keys(seen[0]!.data)).toEqual(['name', 'value']);
    expect(seen[0]!.data).toMatchObject({ value: 1 });
  });

  it('shows of steps, too, what a replay will show, and at once what was emitted at once', async () => {
    const { bus, seen } = await openBus();
    const batches: number[] = [];
    bus.batches$.subscribe((events) => batches.push(events.length));
    const figures = fc.record(
      { step: fc.nat(), loss: fc.option(fc.double()), tokensSeen: fc.nat(), rerun: fc.boolean(), extra: fc.double() },
      { requiredKeys: ['step', 'loss', 'tokensSeen', 'rerun'] },
    );
    const places = fc.record(
      { stage: fc.constantFrom('tuned', 'größer "2"'), attempt: fc.integer({ min: 1, max: 2 }) },
      { requiredKeys: [] },
    );
    const drafts = fc
      .sample(fc.tuple(figures, places), 200)
      .map(([data, place]) => ({ type: 'step.logged', ...place, data }) as unknown as EventDraft);
    const emitted = bus.emitAll(drafts);
    Object.assign(drafts[0]!.data, { step: -1 });
    await emitted;
    await bus.close();
    expect(seen).toEqual(await lines());
    expect(seen[0]!.data).not.toMatchObject({ step: -1 });
    expect(batches).toEqual([200]);
  });

  it('gives events whose numbers have the digits of a secret in them, and takes it out of their texts', async () => {
    vi.stubEnv('DOOR_TOKEN', '12345678');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { bus } = await openBus();
    const data = { name: 'loss', value: 12345678, unit: 'of 12345678' };
    expect((await bus.emit({ type: 'metric.measured', data })).data).toEqual({ ...data, unit: 'of [redacted]' });
    await bus.close();
    expect(await lines()).toMatchObject([{ data: { value: 12345678, unit: 'of [redacted]' } }]);
  });

  it('leaves no gap where a draft is not JSON', async () => {
    const { bus, seen } = await openBus();
    const bad = bus.emit(measured(1n as unknown as number));
    const good = bus.emit(measured(2));
    await expect(bad).rejects.toThrow(TypeError);
    expect((await good).sequence).toBe(1);
    await bus.close();
    expect(seen).toHaveLength(1);
  });

  it('delivers all that was emitted before it closes, then completes and takes nothing', async () => {
    const { bus, seen, isComplete } = await openBus();
    for (let value = 1; value <= 100; value += 1) void bus.emit(progressed(value));
    expect(isComplete()).toBe(false);
    await bus.close();
    await bus.close();
    expect(seen).toHaveLength(100);
    expect(isComplete()).toBe(true);
    await expect(bus.emit(measured(1))).rejects.toThrow(/comes too late/);
  });

  it('never errors: a log that fails is told by failure, and nobody sees what was not durable', async () => {
    const { fileSystem, fail } = held();
    const { bus, seen, isComplete } = await openBus(fileSystem);
    const emitted = [bus.emit(measured(1)), bus.emit(progressed(2))];
    fail(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
    const failure = await bus.failure;
    expect(failure).toMatchObject({ code: 'log_failed' });
    expect((await Promise.allSettled(emitted)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(bus.emit(measured(3))).rejects.toBe(failure);
    await bus.close();
    expect(seen).toEqual([]);
    expect(isComplete()).toBe(true);
    expect(await lines()).toEqual([]);
  });

  it('writes any interleaving of emitters in one order, without a gap, the same for all', async () => {
    const kinds = fc.array(fc.constantFrom('fact', 'telemetry', 'pause'), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(kinds, { minLength: 1, maxLength: 4 }), async (emitters) => {
        await rm(file, { force: true });
        const { bus, seen } = await openBus();
        const acknowledged: Event[] = [];
        await Promise.all(
          emitters.map(async (emitter, index) => {
            for (const kind of emitter) {
              if (kind === 'pause') await new Promise(setImmediate);
              else acknowledged.push(await bus.emit(kind === 'fact' ? measured(index) : progressed(index)));
            }
          }),
        );
        await bus.close();
        const expected = emitters.flat().filter((kind) => kind !== 'pause').length;
        expect(seen.map(({ sequence }) => sequence)).toEqual(Array.from({ length: expected }, (_, index) => index + 1));
        expect(acknowledged.toSorted((left, right) => left.sequence - right.sequence)).toEqual(seen);
        expect(await lines()).toEqual(seen);
      }),
      { numRuns: 40 },
    );
  });
});
