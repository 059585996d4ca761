import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { LogTail } from '../../core/control/watching/log-tail.js';
import { eventsFile } from '../../core/engine/run-folder.js';
import type { Event } from '../../core/events/catalogue.js';
import { formatEventLine } from '../../core/events/run-log.fixture.js';
import { WatchRunRequest } from '../../core/generated/simmer/control/v1/control.js';
import { ControlHarness } from './control-harness.js';

const runId = 'long';
/** Some megabytes of them: tens of messages. */
const eventCount = 20_000;

function event(sequence: number): Event {
  const time = '2026-01-01T00:00:00.000Z';
  if (sequence === eventCount) return { runId, sequence, time, type: 'run.interrupted', data: { reason: 'the end' } };
  const data = { done: sequence, total: null, unit: 'rows'.repeat(50) };
  return { runId, sequence, time, type: 'stage.progressed', data };
}

/** Asks for the events as any client does, and leaves the answer unread. Resolves when the answer begins. */
async function watchWithoutReading(harness: ControlHarness): Promise<Disposable> {
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(harness.server.address.slice('unix:'.length)),
  });
  const stream = session.request({
    ':method': 'POST',
    ':path': '/simmer.control.v1.ControlService/WatchRun',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const request = WatchRunRequest.encode(WatchRunRequest.fromPartial({ runId })).finish();
  stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]));
  await once(stream, 'response');
  return { [Symbol.dispose]: () => session.destroy() };
}

it('a watcher that does not read has one message waiting for it, however long the log', async () => {
  await using harness = await ControlHarness.start();
  const runFolder = join(harness.folder, 'home', 'runs', runId);
  await mkdir(runFolder, { recursive: true });
  const lines = Array.from({ length: eventCount }, (_, index) => `${formatEventLine(event(index + 1))}\n`);
  await writeFile(eventsFile(runFolder), lines.join(''));
  const next = vi.spyOn(LogTail.prototype, 'next');
  onTestFinished(() => next.mockRestore());

  using _ = await watchWithoutReading(harness);
  expect(await harness.events(runId)).toHaveLength(eventCount);

  const readings = new Map<AbortSignal, number>();
  for (const [, signal] of next.mock.calls) readings.set(signal, (readings.get(signal) ?? 0) + 1);
  const [unread, ...read] = [...readings.values()].toSorted((one, other) => one - other);
  expect(unread).toBe(1);
  expect(read).toEqual([expect.toSatisfy((count: number) => count > 20)]);
});

it('what a watcher waits by goes with it: nothing of thousands of them stays in a server that runs for months', async () => {
  await using harness = await ControlHarness.start();
  const runFolder = join(harness.folder, 'home', 'runs', runId);
  await mkdir(runFolder, { recursive: true });
  await writeFile(eventsFile(runFolder), `${formatEventLine({ ...event(eventCount), sequence: 1 })}\n`);
  const any = vi.spyOn(AbortSignal, 'any');
  onTestFinished(() => any.mockRestore());
  const signals: ReadonlySet<AbortSignal>[] = [];
  for (const _ of [1, 2]) {
    expect(await harness.events(runId)).toHaveLength(1);
    signals.push(new Set(any.mock.calls.flatMap(([given]) => [...given])));
    any.mockClear();
  }
  expect(signals[0]?.size).toBeGreaterThan(0);
  expect([...signals[0]!].filter((signal) => signals[1]?.has(signal))).toEqual([]);
});
