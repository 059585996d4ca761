import type { Event } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { type LogFileSystem, nodeLogFileSystem } from '../../core/events/log-file-system.js';
import { countingPlugin, watched } from './counting-plugin.js';

const recipe = `
name: unlucky
stages:
  a: { uses: counting/count, with: { to: 3 } }
  b: { uses: counting/count, with: { to: 4 } }
  total: { uses: counting/sum, with: { of: ["\${{ stages.a.numbers }}", "\${{ stages.b.numbers }}"] } }
`;

/** A disk on which the log's nth sync fails, and every write and sync after it. */
function failingAtSync(nth: number, code: string): LogFileSystem {
  let syncs = 0;
  const failing = () => syncs >= nth;
  const broken = () => Object.assign(new Error(`${code}: simulated`), { code });
  return {
    ...nodeLogFileSystem,
    async open(file) {
      const real = await nodeLogFileSystem.open(file);
      return {
        read: (buffer, position) => real.read(buffer, position),
        truncate: (length) => real.truncate(length),
        close: () => real.close(),
        async write(bytes, position) {
          if (failing()) throw broken();
          return real.write(bytes, position);
        },
        async sync() {
          syncs += 1;
          if (failing()) throw broken();
          await real.sync();
        },
      };
    },
  };
}

describe('a log that fails', () => {
  // The log is opened twice, which syncs it each time, and run.created and run.started are synced between.
  it.each([6, 7, 9, 12])('at its sync %i ends the run, which says why and acknowledges nothing more', async (nth) => {
    const acknowledged: Event[] = [];
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watched())],
      logFileSystem: failingAtSync(nth, 'EIO'),
    });
    const handle = await harness.start(recipe, { sinks: [{ onEvent: (event) => void acknowledged.push(event) }] });
    const run = await harness.ended(handle);
    expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'log_failed', kind: 'environment' } });
    expect(run.events.map((event) => event.type)).not.toContain('run.failed');
    expect(acknowledged).toEqual(run.events.slice(0, acknowledged.length));
    expect((await harness.manager.find(run.runId)).status).toBe('crashed');

    // With the disk mended the run goes on.
    await using mended = await RunHarness.create({ plugins: [countingPlugin(watched())], home: harness.home });
    expect((await mended.resume(run.runId)).outcome).toMatchObject({
      status: 'completed',
      metrics: { 'total.total': 16 },
    });
  });

  it('stops a stage that is at work and says nothing to the log', async () => {
    let wasAborted = false;
    const watch = watched(async (stage, signal) => {
      if (stage !== 'b') return;
      await new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => {
          wasAborted = true;
          reject(signal.reason);
        });
      });
    });
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watch)],
      logFileSystem: failingAtSync(9, 'ENOSPC'),
    });
    const { outcome } = await harness.run(recipe);
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'no_disk_space', kind: 'environment' } });
    expect(wasAborted).toBe(true);
  });

  it('from the first write leaves no half-made run behind', async () => {
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watched())],
      logFileSystem: failingAtSync(2, 'ENOSPC'),
    });
    await expect(harness.run(recipe)).rejects.toMatchObject({ code: 'no_disk_space', kind: 'environment' });
    expect(await harness.manager.list()).toEqual([]);
  });
});
