import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { Event, EventDraft } from './catalogue.js';
import { EventBus } from './event-bus.js';
import { sameWriteMark } from './event-line.js';
import { followEvents, readEvents } from './replay.js';
import { formatEventLine, telemetry } from './run-log.fixture.js';
import { RunLog } from './run-log.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'events.jsonl');
});

async function openBus(): Promise<EventBus> {
  const { log, lastSequence } = await RunLog.open(file);
  return new EventBus({ runId: 'r', log, lastSequence });
}

const measured: EventDraft = { type: 'metric.measured', data: { name: 'loss', value: 1 } };
const started: EventDraft = { type: 'run.started', data: { pid: 1, host: 'h', resumed: true } };
const interrupted: EventDraft = { type: 'run.interrupted', data: { reason: 'Ctrl-C' } };

async function write(...drafts: readonly EventDraft[]): Promise<void> {
  const bus = await openBus();
  for (const draft of drafts) await bus.emit(draft);
  await bus.close();
}

async function sequences(events: AsyncIterable<Event>): Promise<readonly number[]> {
  const found: number[] = [];
  for await (const event of events) found.push(event.sequence);
  return found;
}

describe('reading a log', () => {
  it('gives its events, from a sequence on', async () => {
    await write(measured, measured, interrupted, started, measured);
    expect(await sequences(readEvents(file))).toEqual([1, 2, 3, 4, 5]);
    expect(await sequences(readEvents(file, { fromSequence: 4 }))).toEqual([4, 5]);
    expect(await sequences(readEvents(file, { fromSequence: 6 }))).toEqual([]);
  });

  it('passes over a torn last line', async () => {
    await write(measured, measured);
    await appendFile(file, '{"runId":"r","seq');
    expect(await sequences(readEvents(file))).toEqual([1, 2]);
  });

  it('refuses a damaged line', async () => {
    await write(measured, measured);
    await appendFile(file, 'oops\n');
    await expect(sequences(readEvents(file))).rejects.toMatchObject({ code: 'log_damaged' });
  });

  it('gives in brief all facts, and of the telemetry between them the last of each kind and stage', async () => {
    const draft = fc.record({
      type: fc.constantFrom('stage.progressed', 'log.written', 'log.written', 'metric.measured'),
      stage: fc.constantFrom(undefined, 'a', 'b"'),
      attempt: fc.constantFrom(1, 2),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(draft, { minLength: 1, maxLength: 60 }), async (drafts) => {
        await rm(file, { force: true });
        const bus = await openBus();
        const emitted = await Promise.all(
          drafts.map((each) =>
            bus.emit({ ...each, data: { text: 'a"type":"step.logged","data":b' } } as unknown as EventDraft),
          ),
        );
        await bus.close();
        const isFact = ({ type }: Event) => type === 'metric.measured';
        const expected = emitted.filter((event, index) => {
          const nextFact = emitted.findIndex((other, at) => at > index && isFact(other));
          const rest = emitted.slice(index + 1, nextFact === -1 ? undefined : nextFact);
          const isSame = (other: Event) =>
            other.type === event.type && other.stage === event.stage && other.attempt === event.attempt;
          return isFact(event) || !rest.some(isSame);
        });
        const found: Event[] = [];
        for await (const event of readEvents(file, { isBrief: true })) found.push(event);
        expect(found).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it.each([false, true])(
    'gives of the telemetry that of stages with the keys asked for, in brief: %s',
    async (isBrief) => {
      const started = (stage: string, key: string) =>
        ({ type: 'stage.started', stage, attempt: 1, data: { uses: 'a/b', key } }) as EventDraft;
      const said = (stage: string | undefined, message: string) =>
        ({ type: 'log.written', ...(stage && { stage }), data: { level: 'info', source: 's', message } }) as EventDraft;
      const bus = await openBus();
      await bus.emitAll([
        ...[started('pool', 'k1'), started('b"', 'k2'), said('pool', 'a'), said('b"', 'b'), said('b"', 'c')],
        ...[said(undefined, 'd'), started('tuned', 'k3'), said('tuned', 'e'), said('b"', 'f')],
      ]);
      await bus.close();
      const found: string[] = [];
      for await (const event of readEvents(file, { stageKeys: ['k2', 'none'], isBrief })) {
        found.push(event.type === 'log.written' ? event.data.message : `${event.stage}`);
      }
      expect(found).toEqual(['pool', 'b"', ...(isBrief ? [] : ['b']), 'c', 'tuned', 'f']);
    },
  );

  it('in brief, too, passes over what a power cut left of the last write, and finds a line that is gone', async () => {
    const line = (sequence: number, mark = '') => `${mark}${formatEventLine(telemetry(sequence))}\n`;
    const brief = () => sequences(readEvents(file, { isBrief: true }));
    await writeFile(file, `${line(1)}${line(2)}`);
    expect(await brief()).toEqual([2]);
    await appendFile(file, `${line(3).replaceAll(/./g, '\0')}${line(4, sameWriteMark)}`);
    expect(await brief()).toEqual([1, 2]);
    await writeFile(file, `${line(1)}${line(3)}`);
    await expect(brief()).rejects.toMatchObject({ code: 'log_damaged', message: expect.stringContaining('Line 2 of') });
  });

  it('says where no log is', async () => {
    await expect(sequences(readEvents(file))).rejects.toMatchObject({ code: 'log_missing', kind: 'environment' });
    await expect(sequences(followEvents(file))).rejects.toMatchObject({ code: 'log_missing' });
  });

  it('gives any tail of any length as it was written', async () => {
    const name = fc.string({ unit: 'binary', maxLength: 4000 });
    await fc.assert(
      fc.asyncProperty(fc.array(name, { minLength: 1, maxLength: 150 }), fc.nat({ max: 160 }), async (names, skip) => {
        await rm(file, { force: true });
        const bus = await openBus();
        const emitted = await Promise.all(
          names.map((name) => bus.emit({ type: 'metric.measured', data: { name, value: 1 } })),
        );
        await bus.close();
        const found: Event[] = [];
        for await (const event of readEvents(file, { fromSequence: skip + 1 })) found.push(event);
        expect(found).toEqual(emitted.slice(skip));
      }),
      { numRuns: 25 },
    );
  });
});

describe('following a log', () => {
  it('ends with a run that has ended', async () => {
    await write(measured, interrupted);
    expect(await sequences(followEvents(file))).toEqual([1, 2]);
    expect(await sequences(followEvents(file, { fromSequence: 2 }))).toEqual([2]);
  });

  it('goes over an end that was resumed', async () => {
    await write(measured, interrupted, started, measured, interrupted);
    expect(await sequences(followEvents(file))).toEqual([1, 2, 3, 4, 5]);
  });

  it('gives history and what comes, without a seam', async () => {
    const bus = await openBus();
    await Promise.all(Array.from({ length: 500 }, () => bus.emit(measured)));
    const followed = Array.from({ length: 3 }, (_, index) =>
      sequences(followEvents(file, { fromSequence: 1 + index * 400 })),
    );
    for (let batch = 0; batch < 20; batch += 1) {
      await Promise.all(Array.from({ length: 25 }, () => bus.emit(measured)));
      await new Promise(setImmediate);
    }
    await bus.emit(interrupted);
    await bus.close();
    const all = Array.from({ length: 1001 }, (_, index) => index + 1);
    expect(await Promise.all(followed)).toEqual([all, all.slice(400), all.slice(800)]);
  });

  it('waits where half a line is there, and gives it when it is whole', async () => {
    await write(measured, measured, interrupted);
    const lines: string[] = [];
    for await (const event of readEvents(file)) lines.push(`${JSON.stringify(event)}\n`);
    const [first, second, third] = lines as [string, string, string];
    await writeFile(file, first + second.slice(0, 30));
    const follower = followEvents(file)[Symbol.asyncIterator]();
    expect((await follower.next()).value).toMatchObject({ sequence: 1 });
    const next = follower.next();
    await appendFile(file, second.slice(30) + third);
    expect((await next).value).toMatchObject({ sequence: 2 });
    expect((await follower.next()).value).toMatchObject({ sequence: 3 });
    expect(await follower.next()).toEqual({ done: true, value: undefined });
  });

  it('goes on after a writer cut off what it could not make durable', async () => {
    await write(measured, measured, measured);
    const follower = followEvents(file)[Symbol.asyncIterator]();
    for (const sequence of [1, 2, 3]) expect((await follower.next()).value).toMatchObject({ sequence });
    const lines: string[] = [];
    for await (const event of readEvents(file)) lines.push(`${JSON.stringify(event)}\n`);
    const next = follower.next();
    await writeFile(file, lines.slice(0, 2).join(''));
    await write(measured, started, interrupted);
    expect((await next).value).toMatchObject({ sequence: 4, type: 'run.started' });
    expect((await follower.next()).value).toMatchObject({ sequence: 5 });
    expect((await follower.next()).done).toBe(true);
  });

  it('ends when it is told to, also while it waits', async () => {
    await write(measured);
    const controller = new AbortController();
    const follower = followEvents(file, { signal: controller.signal })[Symbol.asyncIterator]();
    await follower.next();
    const waiting = follower.next();
    controller.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await sequences(followEvents(file, { signal: controller.signal }))).toEqual([]);
  });
});
