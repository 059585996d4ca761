import { describe, expect, it } from 'vitest';
import type { StageEvent } from './definitions.js';
import { pace } from './pace.js';

function observed() {
  const events: StageEvent[] = [];
  const controller = new AbortController();
  const emit = async (event: StageEvent) => {
    events.push(event);
  };
  return { events, controller, context: { signal: controller.signal, emit } };
}

/** Keeps the event loop busy, as a row that is hard to judge does. */
function work(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

describe('a pace', () => {
  it('lets other work run while a stage loops', async () => {
    const { context } = observed();
    const steps = pace(context, { unit: 'rows', total: 50 });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    for (let row = 0; row < 50; row++) {
      work(3);
      await steps.step();
    }
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(3);
  });

  it('says how far it is now and then, and at the end', async () => {
    const { context, events } = observed();
    const startedAt = performance.now();
    const steps = pace(context, { unit: 'rows', total: 30 });
    for (let row = 0; row < 30; row++) {
      work(25);
      await steps.step(() => ({ kept: row }));
    }
    await steps.finish({ kept: 30 });
    expect(events.length).toBeGreaterThanOrEqual(2);
    // Twice a second, and at the end.
    expect(events.length).toBeLessThanOrEqual(1 + (performance.now() - startedAt) / 500);
    const [first] = events;
    expect(first).toMatchObject({ type: 'stage.progressed', data: { total: 30, unit: 'rows' } });
    expect(first?.type === 'stage.progressed' && (first.data.secondsLeft ?? 0)).toBeGreaterThan(0);
    expect(events.at(-1)).toMatchObject({ data: { done: 30, secondsLeft: 0, figures: { kept: 30 } } });
  });

  it('judges the time that is left by what this attempt did, not by what an earlier one left done', async () => {
    const { context, events } = observed();
    const steps = pace(context, { unit: 'rows', total: 1000 });
    for (let row = 0; row < 900; row++) steps.skip();
    work(100);
    await steps.step();
    await steps.finish();
    const [told] = events.flatMap((event) => (event.type === 'stage.progressed' ? [event.data] : []));
    expect(told).toMatchObject({ done: 901 });
    expect(told!.perSecond).toBeLessThanOrEqual(10);
    expect(told!.secondsLeft).toBeGreaterThanOrEqual(9.9);
  });

  it('stops on the signal', async () => {
    const { context, controller } = observed();
    const steps = pace(context, { unit: 'rows', total: null });
    controller.abort(new Error('stopped by the user'));
    work(25);
    await expect(steps.step()).rejects.toThrow('stopped by the user');
  });
});
