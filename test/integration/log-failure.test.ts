import type { Event, EventType } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { type LogFileSystem, nodeLogFileSystem } from '../../core/events/log-file-system.js';
import { countingPlugin, watched } from './counting-plugin.js';

const recipe = `
name: unlucky
stages:
  a: { uses: counting/count, with: { to: 3 } }
  b: { uses: counting/count, with: { to: 4 } }
  total: { uses: counting/sum, with: { of: ["\${{ stages.a.numbers }}", "\${{ stages.b.numbers }}"] } }
`;

/** A disk on which the sync fails that would make the first event of a type durable, and every write and sync after it. */
function failingAt(type: EventType, code: string): LogFileSystem {
  let isDue = false;
  let hasFailed = false;
  const failure = () => {
    hasFailed = true;
    return Object.assign(new Error(`${code}: simulated`), { code });
  };
  return {
    ...nodeLogFileSystem,
    async open(file) {
      const real = await nodeLogFileSystem.open(file);
      return {
        read: (buffer, position) => real.read(buffer, position),
        truncate: (length) => real.truncate(length),
        close: () => real.close(),
        async write(bytes, position) {
          if (hasFailed) throw failure();
          isDue ||= Buffer.from(bytes).includes(`"type":"${type}"`);
          return real.write(bytes, position);
        },
        async sync() {
          if (isDue) throw failure();
          await real.sync();
        },
      };
    },
  };
}

describe('a log that fails', () => {
  it.each<EventType>(['stage.started', 'artifact.committed', 'stage.completed', 'run.completed'])(
    'at %s ends the run, which says why and acknowledges nothing more',
    async (type) => {
      const acknowledged: Event[] = [];
      await using harness = await RunHarness.create({
        plugins: [countingPlugin(watched())],
        logFileSystem: failingAt(type, 'EIO'),
      });
      const handle = await harness.start(recipe, { sinks: [{ onEvent: (event) => void acknowledged.push(event) }] });
      const run = await harness.ended(handle);
      expect(run.outcome).toMatchObject({ status: 'failed', error: { code: 'log_failed', kind: 'environment' } });
      expect(acknowledged.map((event) => event.type)).not.toContain(type);
      expect(run.events.map((event) => event.type)).not.toContain('run.failed');
      expect(acknowledged).toEqual(run.events.slice(0, acknowledged.length));
      expect((await harness.manager.find(run.runId)).status).toBe('crashed');

      // With the disk mended the run goes on.
      await using mended = await RunHarness.create({ plugins: [countingPlugin(watched())], home: harness.home });
      expect((await mended.resume(run.runId)).outcome).toMatchObject({
        status: 'completed',
        metrics: { 'total.total': 16 },
      });
    },
  );

  it('stops a stage that is at work and says nothing to the log', async () => {
    let wasAborted = false;
    const { promise: bWorks, resolve: begin } = deferred<void>();
    const watch = watched(async (stage, signal) => {
      if (stage === 'a') return bWorks;
      begin();
      await new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => {
          wasAborted = true;
          reject(signal.reason);
        });
      });
    });
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watch)],
      logFileSystem: failingAt('stage.completed', 'ENOSPC'),
    });
    const { outcome } = await harness.run(recipe);
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'no_disk_space', kind: 'environment' } });
    expect(wasAborted).toBe(true);
  });

  it('from the first write leaves no half-made run behind', async () => {
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watched())],
      logFileSystem: failingAt('run.created', 'ENOSPC'),
    });
    await expect(harness.run(recipe)).rejects.toMatchObject({ code: 'no_disk_space', kind: 'environment' });
    expect(await harness.manager.list()).toEqual([]);
  });
});
