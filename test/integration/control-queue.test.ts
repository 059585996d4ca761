import { randomUUID } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { ControlClient } from '../../core/control/control-client.js';
import { defaultLimits } from '../../core/control/limits.js';
import { ServedRuns } from '../../core/control/served-runs.js';
import type { Event } from '../../core/events/catalogue.js';
import { nodeLogFileSystem } from '../../core/events/log-file-system.js';
import { RunStatus } from '../../core/generated/simmer/control/v1/control.js';
import { type ControlHarness, recipeText, type ServerOptions, startServer } from './control-harness.js';

let harness: ControlHarness;

/** Takes as long as it is let: as many problems as there are cannot be made in a test's time. */
const long = (seed: number) => `name: long
seed: ${seed}
stages:
  pool: { uses: curation/generate-problems, with: { count: 400000 } }
`;
const short = (seed: number) => long(seed).replace('400000', '20').replace('name: long', 'name: short');

async function create(text: string): Promise<string> {
  const { run } = await harness.client.createRun({ requestId: randomUUID(), recipe: recipeText(text) });
  return run!.runId;
}

async function start(options: ServerOptions): Promise<void> {
  harness = await startServer(options);
}

async function statusOf(runId: string): Promise<RunStatus> {
  return (await harness.client.getRun(runId)).run!.status;
}

/** Waits until more is told of it than that it was created. */
async function expectStarted(runId: string): Promise<void> {
  await expect.poll(async () => (await harness.client.getRun(runId)).run!.lastSequence).toBeGreaterThan(1n);
}

/** Waits for its end. */
async function expectCompleted(runId: string): Promise<void> {
  expect((await harness.events(runId)).at(-1)?.type).toBe('run.completed');
  expect(await statusOf(runId)).toBe(RunStatus.RUN_STATUS_COMPLETED);
}

describe('runs that share a machine', () => {
  it('wait for their slots, are seen to wait, and start when one is canceled', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    const { run } = await harness.client.getRun(second);
    expect(run).toMatchObject({
      status: RunStatus.RUN_STATUS_QUEUED,
      queue: { position: 1, waitsFor: ['cpus'], claim: { cpus: 1 } },
    });
    expect(await harness.client.describeServer()).toMatchObject({
      queuedRunIds: [second],
      runningRunIds: [first],
      claimed: { cpus: 1 },
    });
    const canceled = await harness.client.cancelRun({ runId: first, reason: 'enough' });
    expect(canceled.run!.status).toBe(RunStatus.RUN_STATUS_INTERRUPTED);
    expect((await harness.client.describeServer()).runningRunIds).not.toContain(first);
    expect((await harness.events(second)).at(-1)!.type).toBe('run.completed');
    expect((await harness.events(first)).at(-1)).toMatchObject({ type: 'run.interrupted', data: { reason: 'enough' } });
  });

  it('are taken out of the queue by a cancel, and go on by a resume', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    const third = await create(short(3));
    await harness.client.cancelRun({ runId: second, reason: '' });
    expect(await statusOf(second)).toBe(RunStatus.RUN_STATUS_INTERRUPTED);
    expect((await harness.client.getRun(third)).run!.queue!.position).toBe(1);
    await harness.client.resumeRun(second);
    await harness.client.cancelRun({ runId: first, reason: '' });
    for (const runId of [second, third]) await expectCompleted(runId);
  });

  it('are waited for no longer than somebody waits', async () => {
    await start({ cpus: 1 });
    const runId = await create(long(1));
    const { runs } = harness.server;
    const watcher = new AbortController();
    const letGo = runs.letGo(await runs.folderOf(runId), watcher.signal);
    expect(await statusOf(runId)).toBe(RunStatus.RUN_STATUS_RUNNING);
    watcher.abort();
    await letGo;
    expect(await statusOf(runId)).toBe(RunStatus.RUN_STATUS_RUNNING);
  });

  /** A run that was taken out of the queue and resumed, behind one that goes on, and what a watcher sees from there on. */
  async function resumedInQueue() {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    const { run } = await harness.client.cancelRun({ runId: second, reason: '' });
    await harness.client.resumeRun(second);
    const seen: Event[] = [];
    const watch = (async () => {
      const fromSequence = Number(run!.lastSequence) + 1;
      for await (const event of harness.client.watch(second, { fromSequence })) seen.push(event);
    })();
    return { first, second, seen, watch };
  }

  it('are watched on when they are resumed, while they wait and then until they end', async () => {
    const { first, seen, watch } = await resumedInQueue();
    await harness.client.cancelRun({ runId: first, reason: '' });
    await watch;
    expect(seen.at(-1)?.type).toBe('run.completed');
  });

  it('that are resumed have no end while they wait, and keep their budget', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    const { run } = await harness.client.cancelRun({ runId: second, reason: '' });
    expect(run!.endedAt).toBeDefined();
    const resumed = await harness.client.resumeRun(second, { 'budget.usd': '3' });
    expect(resumed.run).toMatchObject({ status: RunStatus.RUN_STATUS_QUEUED, endedAt: undefined });
    // The same again is the same request, whose answer may have been lost.
    expect(await harness.client.resumeRun(second, { 'budget.usd': '3' })).toEqual(resumed);
    for (const runId of [first, second]) {
      const other = harness.client.resumeRun(runId, { 'budget.usd': '4' });
      await expect(other).rejects.toMatchObject({ code: 'budget_not_changed' });
    }
    await harness.client.cancelRun({ runId: second, reason: '' });
    await harness.client.cancelRun({ runId: first, reason: '' });
  });

  it('that are resumed by several at the same time take the budget of one, and tell the others', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    await harness.client.cancelRun({ runId: second, reason: '' });
    const budgets = ['3', '4', '3'];
    const told = await Promise.allSettled(
      budgets.map((usd) => harness.client.resumeRun(second, { 'budget.usd': usd })),
    );
    const taken = new Set(budgets.filter((_, index) => told[index]?.status === 'fulfilled'));
    expect(taken.size).toBe(1);
    await harness.client.cancelRun({ runId: first, reason: '' });
    const events = await harness.events(second);
    expect(events.find((event) => event.type === 'budget.set')?.data).toEqual({ usd: Number([...taken][0]) });
  });

  it('that are canceled while they are being resumed do not go on', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    const { runs } = harness.server;
    await runs.cancel(second, 'enough');
    const resumed = runs.resume(second);
    await runs.cancel(second, 'enough after all');
    await resumed;
    expect((await harness.client.describeServer()).queuedRunIds).toEqual([]);
    await runs.cancel(first, '');
    expect(await statusOf(second)).toBe(RunStatus.RUN_STATUS_INTERRUPTED);
  });

  it('that are resumed end for their watchers when they are taken out of the queue again', async () => {
    const { first, second, seen, watch } = await resumedInQueue();
    await harness.client.cancelRun({ runId: second, reason: 'again' });
    await watch;
    expect(seen).toMatchObject([{ type: 'run.interrupted', data: { reason: 'again' } }]);
    await harness.client.cancelRun({ runId: first, reason: '' });
  });

  it('go on when the server is stopped and started again, and so does a request id', async () => {
    await start({ cpus: 1 });
    const requestId = randomUUID();
    const recipe = recipeText(short(4));
    const first = await create(short(1).replace('20', '30000'));
    const second = (await harness.client.createRun({ requestId, recipe })).run!.runId;
    await harness.stop();
    await harness.serve({ cpus: 1 });
    expect(await harness.client.createRun({ requestId, recipe })).toMatchObject({
      alreadyCreated: true,
      run: { runId: second },
    });
    for (const runId of [first, second]) await expectCompleted(runId);
  });

  it('wait from the moment that a new server is there, also those that it has not queued yet', async () => {
    await start({ cpus: 1 });
    const left = [await create(long(1)), await create(short(2))];
    await harness.stop();
    const runs = await ServedRuns.open({
      settings: harness.settings(1),
      limits: defaultLimits,
      logFileSystem: nodeLogFileSystem,
      log: () => undefined,
    });
    const standing = (await runs.list()).map(({ runId, status, endedAt }) => ({ runId, status, endedAt }));
    expect(standing.toReversed()).toEqual(left.map((runId) => ({ runId, status: 'queued' })));
    expect(runs.waiting).toEqual(left);
    await harness.serve({ cpus: 1 });
  });

  it('are watched on when the server is stopped and started again, those that it ran and those that waited', async () => {
    await start({ cpus: 1 });
    const runIds = [await create(short(1).replace('20', '30000')), await create(short(2))];
    using watcher = await ControlClient.open({ address: harness.server.address });
    const onStopping = vi.fn();
    const seen = runIds.map(async (runId) => {
      const events: Event[] = [];
      for await (const event of watcher.watch(runId, { onStopping })) events.push(event);
      return events;
    });
    await expectStarted(runIds[0]!);
    await harness.stop();
    await harness.serve({ cpus: 1 });
    const [first, second] = await Promise.all(seen);
    expect(onStopping).toHaveBeenCalled();
    expect(first!.some(({ type }) => type === 'run.interrupted')).toBe(true);
    for (const events of [first!, second!]) {
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
      expect(events.at(-1)!.type).toBe('run.completed');
    }
  });

  it('are watched for as long as a client has patience with a server that is gone', async () => {
    await start({ cpus: 1 });
    const runId = await create(short(1).replace('20', '30000'));
    using watcher = await ControlClient.open({ address: harness.server.address, patienceMilliseconds: 3000 });
    const onLost = vi.fn();
    const seen = (async () => {
      for await (const _ of watcher.watch(runId, { onLost }));
    })();
    await expectStarted(runId);
    await harness.stop();
    await expect(seen).rejects.toMatchObject({ code: 'server_unreachable' });
    expect(onLost).toHaveBeenCalledOnce();
    await harness.serve({ cpus: 1 });
  });

  it('that are resumed go on with their new budget when the server is stopped while they wait', async () => {
    await start({ cpus: 1 });
    const first = await create(long(1));
    const second = await create(short(2));
    await harness.client.cancelRun({ runId: second, reason: '' });
    await harness.client.resumeRun(second, { 'budget.usd': '3' });
    await harness.stop();
    await harness.serve({ cpus: 1 });
    await harness.client.cancelRun({ runId: first, reason: '' });
    const events = await harness.events(second);
    expect(events.at(-1)!.type).toBe('run.completed');
    expect(events.find((event) => event.type === 'budget.set')?.data).toEqual({ usd: 3 });
    await harness.stop();
    await harness.serve({ cpus: 1 });
    expect((await harness.events(second)).length).toBe(events.length);
  });

  it('stay canceled when the server is started again, whatever a client gives as the reason', async () => {
    await start({ cpus: 1 });
    const canceled = await create(long(1));
    await harness.client.cancelRun({ runId: canceled, reason: 'the server was stopped' });
    await harness.stop();
    await harness.serve({ cpus: 1 });
    // It answers only when what was left is taken up.
    expect((await harness.events(canceled)).at(-1)!.type).toBe('run.interrupted');
    expect(await statusOf(canceled)).toBe(RunStatus.RUN_STATUS_INTERRUPTED);
    expect((await harness.client.describeServer()).runningRunIds).toEqual([]);
  });

  it('are told to the owner of the server as they start and end', async () => {
    const log: string[] = [];
    await start({ cpus: 1, log: (line) => log.push(line) });
    const first = await create(short(1));
    await harness.events(first);
    const second = await create(long(2));
    await harness.client.cancelRun({ runId: second, reason: 'enough\n\u001b[2Jof it' });
    expect(log).toEqual([
      `${first}: started`,
      `${first}: completed`,
      `${second}: started`,
      `${second}: stopped, enough [2Jof it`,
    ]);
  });

  it('are no more than the limit in the queue', async () => {
    await start({ cpus: 1, limits: { queuedRuns: 1 } });
    const first = await create(long(1));
    await create(short(2));
    await expect(create(short(3))).rejects.toMatchObject({ code: 'queue_full' });
    await harness.client.cancelRun({ runId: first, reason: '' });
  });
});
