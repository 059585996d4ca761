import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred } from '../../deferred.js';
import type { Event } from '../../events/catalogue.js';
import type { Sink } from '../../plugin/definitions.js';
import { SinkFeed, type SinkFeedOptions } from './sink-feed.js';

function fact(sequence: number): Event {
  return event(sequence, 'metric.measured', { name: `m${sequence}`, value: 1 });
}

function telemetry(sequence: number): Event {
  return event(sequence, 'log.written', { level: 'info', source: 'engine', message: String(sequence) });
}

function event(sequence: number, type: string, data: unknown): Event {
  return { runId: 'r', sequence, time: '2026-01-01T00:00:00.000Z', type, data } as Event;
}

/** A sink that takes its next event only when it is let, and what became of its feed. */
function slowSink(limits: Partial<SinkFeedOptions> = {}) {
  const got: number[] = [];
  const failures: unknown[] = [];
  let dropped = 0;
  const { promise: gate, resolve: letGo } = deferred<void>();
  const sink: Sink = {
    async onEvent({ sequence }) {
      await gate;
      got.push(sequence);
    },
  };
  const feed = new SinkFeed({
    name: 'slow',
    onFailure: (error) => failures.push(error),
    onTelemetryDropped: () => dropped++,
    ...limits,
  });
  const begin = (...events: Event[]) =>
    feed.begin(
      async () => sink,
      () => history(...events),
    );
  return { feed, sink, begin, got, failures, letGo, droppedTold: () => dropped };
}

async function* history(...events: Event[]): AsyncIterable<Event> {
  yield* events;
}

describe('the feed of a sink', () => {
  it('gives history first, then what came meanwhile, each event once and in order', async () => {
    const { feed, begin, got, letGo } = slowSink();
    feed.offer(fact(3));
    begin(fact(1), fact(2), fact(3));
    feed.offer(fact(4));
    letGo();
    await feed.drained();
    feed.offer(fact(5));
    await feed.drained();
    expect(got).toEqual([1, 2, 3, 4, 5]);
  });

  it('leaves out what the sink is not given, of history and of what comes', async () => {
    const { feed, begin, got, letGo } = slowSink({ isLeftOut: ({ type }) => type === 'log.written' });
    begin(fact(1), telemetry(2));
    for (const event of [fact(3), telemetry(4), fact(5)]) feed.offer(event);
    letGo();
    await feed.drained();
    expect(got).toEqual([1, 3, 5]);
  });

  it('leaves out telemetry when its queue is full, says so once, and keeps every fact', async () => {
    const { feed, begin, got, letGo, droppedTold } = slowSink({ telemetryLimit: 3 });
    begin();
    await feed.drained();
    for (let sequence = 1; sequence <= 10; sequence++) feed.offer(sequence % 2 ? telemetry(sequence) : fact(sequence));
    letGo();
    await feed.drained();
    expect(got).toEqual([1, 2, 3, 4, 6, 8, 10]);
    expect(droppedTold()).toBe(1);
  });

  it('gives what came while it read a long history from the log, however much that was', async () => {
    const written = [fact(1), fact(2)];
    const got: number[] = [];
    let dropped = 0;
    const feed = new SinkFeed({ name: 'late', telemetryLimit: 3, onFailure() {}, onTelemetryDropped: () => dropped++ });
    const offer = (event: Event) => {
      written.push(event);
      feed.offer(event);
    };
    let isLive = false;
    feed.begin(
      async () => ({
        onEvent({ sequence }) {
          got.push(sequence);
          if (isLive) return;
          isLive = true;
          for (let next = 3; next <= 12; next++) offer(next % 4 ? telemetry(next) : fact(next));
        },
      }),
      (after = 0, upTo = 2) => history(...written.filter(({ sequence }) => sequence > after && sequence <= upTo)),
    );
    await feed.drained();
    offer(telemetry(13));
    await feed.drained();
    expect(got).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    expect(dropped).toBe(0);
  });

  it('gives nothing more of the log to a sink that threw while it read the history', async () => {
    const written = Array.from({ length: 12 }, (_, at) => telemetry(at + 1));
    const got: number[] = [];
    const feed = new SinkFeed({ name: 'broken', telemetryLimit: 3, onFailure() {}, onTelemetryDropped() {} });
    feed.begin(
      async () => ({
        onEvent({ sequence }) {
          got.push(sequence);
          for (const event of written.slice(2)) feed.offer(event);
          throw new Error('it broke');
        },
      }),
      (after = 0, upTo = 2) => history(...written.filter(({ sequence }) => sequence > after && sequence <= upTo)),
    );
    await feed.drained();
    expect(got).toEqual([1]);
  });

  it('gives a sink up that falls too far behind even with its facts', async () => {
    const { feed, begin, failures, letGo } = slowSink({ factLimit: 5 });
    begin();
    for (let sequence = 1; sequence <= 10; sequence++) feed.offer(fact(sequence));
    letGo();
    await feed.drained();
    expect(failures).toMatchObject([{ code: 'sink_too_slow' }]);
  });

  it('gives nothing more to a sink that threw', async () => {
    const failures: unknown[] = [];
    const got: number[] = [];
    const feed = new SinkFeed({ name: 'bad', onFailure: (error) => failures.push(error), onTelemetryDropped() {} });
    const boom = new Error('boom');
    feed.begin(
      async () => ({
        onEvent({ sequence }) {
          got.push(sequence);
          if (sequence === 2) throw boom;
        },
        beforeCompleted: async () => ({ reportPath: '/never' }),
      }),
      () => history(),
    );
    for (let sequence = 1; sequence <= 4; sequence++) feed.offer(fact(sequence));
    expect(await feed.beforeCompleted(1000)).toEqual({});
    expect(got).toEqual([1, 2]);
    expect(failures).toEqual([boom]);
  });

  it('does not wait for a sink longer than the limit', async () => {
    const { feed, begin, failures } = slowSink();
    begin(fact(1));
    expect(await feed.beforeCompleted(20)).toEqual({});
    expect(failures).toMatchObject([{ code: 'sink_timed_out' }]);
    expect(String(failures[0])).toContain('within 0.02 s: its onEvent has not returned from event 1, metric.measured.');
  });

  it('tells once that the run waits for a sink, after a while', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const waits: number[] = [];
    const { feed, begin, letGo } = slowSink({ onWaitedFor: (milliseconds) => waits.push(milliseconds) });
    begin(fact(1));
    const answer = feed.beforeCompleted(180_000);
    await vi.advanceTimersByTimeAsync(14_000);
    expect(waits).toEqual([]);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(waits).toEqual([180_000]);
    letGo();
    expect(await answer).toEqual({});
  });

  it('closes a sink at once that has hung, and tells of it once', async () => {
    let closed = 0;
    const { feed, sink, failures } = slowSink();
    feed.begin(
      async () => ({
        ...sink,
        close() {
          closed++;
          throw new Error('not open any more');
        },
      }),
      () => history(fact(1)),
    );
    await feed.beforeCompleted(20);
    await feed.close(60_000);
    expect(closed).toBe(1);
    expect(failures).toMatchObject([{ code: 'sink_timed_out' }]);
  });

  it('tells of a sink that fails as it is closed', async () => {
    const { feed, failures } = slowSink();
    const full = new Error('disk full');
    feed.begin(
      async () => ({ onEvent() {}, close: () => Promise.reject(full) }),
      () => history(fact(1)),
    );
    await feed.close(60_000);
    expect(failures).toEqual([full]);
  });

  it('tells of a sink that does not open', async () => {
    const failures: unknown[] = [];
    const feed = new SinkFeed({ name: 'shut', onFailure: (error) => failures.push(error), onTelemetryDropped() {} });
    const refused = new Error('refused');
    feed.begin(
      () => Promise.reject(refused),
      () => history(),
    );
    await feed.drained();
    expect(failures).toEqual([refused]);
  });
});
