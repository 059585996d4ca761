import { describe, expect, it } from 'vitest';
import type { Event } from '../../events/catalogue.js';
import { EventBatches } from './event-batches.js';

const event = (sequence: number): Event => ({
  runId: 'run',
  sequence,
  time: '2026-01-01T00:00:00.000Z',
  type: 'stage.progressed',
  stage: 'one',
  attempt: 1,
  data: { done: sequence, total: null, unit: 'rows' },
});

describe('events in batches', () => {
  it('go in order, each once: what comes while one is under way goes with the next', async () => {
    const delivered: number[][] = [];
    let release = () => {};
    const batches = new EventBatches(async (events) => {
      delivered.push(events.map(({ sequence }) => sequence));
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    for (const sequence of [1, 2, 3]) await batches.add(event(sequence));
    release();
    const all = batches.delivered();
    while (delivered.length < 2) await new Promise((resolve) => setImmediate(resolve));
    release();
    await all;
    expect(delivered).toEqual([[1], [2, 3]]);
  });

  it('that cannot be delivered are told of once, to who comes next, and nothing more is delivered', async () => {
    let calls = 0;
    const batches = new EventBatches(async () => {
      calls += 1;
      throw new Error('nobody there');
    });
    await batches.add(event(1));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(batches.add(event(2))).rejects.toThrow('nobody there');
    await expect(batches.delivered()).resolves.toBeUndefined();
    expect([batches.hasFailed, calls]).toEqual([true, 1]);
  });

  it('that cannot be delivered are told of at the end, where nobody comes', async () => {
    const batches = new EventBatches(() => Promise.reject(new Error('nobody there')));
    await batches.add(event(1));
    await expect(batches.delivered()).rejects.toThrow('nobody there');
  });
});
