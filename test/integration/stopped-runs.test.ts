import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { countingPlugin, diamond, facts, watched } from './counting-plugin.js';

/** The stage "total" waits, the first time, until its run is stopped. */
function heldAtTotal() {
  const { promise: atTotal, resolve: reach } = deferred<void>();
  let isFirst = true;
  const watch = watched(async (stage, signal) => {
    if (stage !== 'total' || !isFirst) return;
    isFirst = false;
    reach();
    await new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  });
  return { watch, atTotal };
}

describe('an interrupt', () => {
  it('stops stages, keeps what is done, and a resume goes on from there', async () => {
    const { watch, atTotal } = heldAtTotal();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const handle = await harness.start(diamond);
    await atTotal;
    handle.interrupt('Ctrl-C');
    handle.interrupt('Ctrl-C again');
    const run = await harness.ended(handle);
    expect(run.outcome).toEqual({ status: 'interrupted', reason: 'Ctrl-C' });
    expect(facts(run.events).slice(-2)).toEqual(['stage.interrupted total', 'run.interrupted']);
    expect((await harness.manager.find(run.runId)).status).toBe('interrupted');

    watch.begun.length = 0;
    const resumed = await harness.resume(run.runId);
    expect(resumed.outcome).toMatchObject({ status: 'completed', metrics: { 'total.total': 13 } });
    expect(watch.begun).toEqual(['total']);
    expect(resumed.events.map((event) => event.sequence)).toEqual(resumed.events.map((_, index) => index + 1));
  });

  it('may come by a signal, also one that was aborted before', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const run = await harness.run(diamond, { signal: AbortSignal.abort('no time') });
    expect(run.outcome).toEqual({ status: 'interrupted', reason: 'no time' });
    expect(run.eventsOf('stage.started')).toEqual([]);
  });
});

describe('a resume', () => {
  it('of a completed run changes nothing and tells its outcome', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const run = await harness.run(diamond);
    const again = await harness.resume(run.runId);
    expect(again.outcome).toEqual(run.outcome);
    expect(again.events.length).toBe(run.events.length);
  });

  it('of a run that is not there is refused by name', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    await expect(harness.resume('nobody')).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('of a run that another holds is refused by the name of the owner', async () => {
    const { watch, atTotal } = heldAtTotal();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const handle = await harness.start(diamond);
    await atTotal;
    const before = (await harness.manager.find(handle.runId)).events;
    await expect(harness.resume(handle.runId)).rejects.toMatchObject({
      code: 'run_locked',
      kind: 'environment',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    expect(await harness.manager.find('latest')).toMatchObject({ status: 'running', events: before });
    handle.interrupt('done');
    expect((await handle.finished).status).toBe('interrupted');
  });

  it('says so where the code of a plugin has changed, and goes by the new code', async () => {
    const { watch, atTotal } = heldAtTotal();
    await using first = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const handle = await first.start(diamond);
    await atTotal;
    handle.interrupt('to change the code');
    const interrupted = await first.ended(handle);
    const keyBefore = interrupted.eventsOf('stage.started').at(-1)?.data.key;

    await using second = await RunHarness.create({ plugins: [countingPlugin(watched(), '1.0.1')], home: first.home });
    const resumed = await second.resume(handle.runId);
    expect(resumed.outcome.status).toBe('completed');
    expect(resumed.eventsOf('log.written').map(({ data }) => data)).toContainEqual({
      level: 'warning',
      source: 'engine',
      message: expect.stringMatching(/The code of the plugin counting has changed/),
    });
    expect(resumed.eventsOf('stage.started').at(-1)?.data.key).not.toBe(keyBefore);
  });
});
