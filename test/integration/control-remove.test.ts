import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ArtifactStore } from '../../core/artifacts/artifact-store.js';
import type { Event } from '../../core/events/catalogue.js';
import { RunStatus } from '../../core/generated/simmer/control/v1/control.js';
import { ControlHarness, curation, recipeText, type ServerOptions } from './control-harness.js';

let harness: ControlHarness;
afterEach(() => harness[Symbol.asyncDispose]());

const start = async (options: ServerOptions = {}) => {
  harness = await ControlHarness.start(options);
};

/** Takes as long as it is let: as many problems as there are cannot be made in a test's time. */
const long = `name: long
seed: 7
stages:
  more: { uses: curation/generate-problems, with: { count: 400000 } }
`;
/** Makes what `curation` makes first, and is busy then. */
const busy = `${long.replace('name: long', 'name: busy')}
  pool: { uses: curation/generate-problems, with: { count: 60 } }
`;

async function create(text = curation, params: Readonly<Record<string, string>> = {}): Promise<string> {
  const recipe = recipeText(text, { params: { ...params } });
  return (await harness.client.createRun({ requestId: randomUUID(), recipe })).run!.runId;
}

async function completed(text = curation, params: Readonly<Record<string, string>> = {}): Promise<string> {
  const runId = await create(text, params);
  expect((await harness.events(runId)).at(-1)!.type).toBe('run.completed');
  return runId;
}

const remove = (...runIds: string[]) => harness.client.removeRuns({ runIds, dryRun: false });
const home = () => join(harness.folder, 'home');
const listed = async () => {
  const { runs } = await harness.client.listRuns({ pageSize: 0, pageToken: '', filter: undefined });
  return runs.map(({ runId }) => runId);
};
/** Outputs of its stages that are there. */
const outputsOf = async (runId: string) => {
  const { artifacts } = await harness.client.listArtifacts(runId);
  return artifacts.filter(({ stage }) => stage !== '').map(({ artifactId }) => artifactId);
};
/** Of artifacts, those that are not there. */
const missingOf = async (uris: readonly string[]) => {
  const store = await ArtifactStore.open(home());
  const areThere = await Promise.all(uris.map((uri) => store.has(uri)));
  return uris.filter((_, index) => !areThere[index]);
};
/** Beside a stage that keeps this process busy. */
const soon = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 200 });
const eventsUntil = async (runId: string, isIt: (event: Event) => boolean) => {
  for await (const event of harness.client.watch(runId)) if (isIt(event)) return;
};

describe('runs that have ended', () => {
  beforeEach(() => start());

  it('are removed with what no other run has, once, and told of before', async () => {
    const [first, second] = [await completed(), await completed(curation, { count: '61' })];
    const outputs = await outputsOf(first);
    const request = { runIds: [first, 'nobody', first], dryRun: true };
    const told = await harness.client.removeRuns(request);
    expect(told).toMatchObject({ runIds: [first], artifactIds: outputs, reusedByRunIds: [] });
    expect(told.bytes > 0n).toBe(true);
    expect(await outputsOf(first)).toEqual(outputs);

    expect(await harness.client.removeRuns({ ...request, dryRun: false })).toEqual(told);
    expect(await remove(first)).toEqual({ runIds: [], artifactIds: [], bytes: 0n, reusedByRunIds: [] });
    expect(await listed()).toEqual([second]);
    await expect(harness.client.getRun(first)).rejects.toMatchObject({ code: 'run_not_found' });
    expect((await readdir(join(home(), 'artifacts', 'dataset'))).length).toBe((await outputsOf(second)).length);
  });

  it('are named by those that reused what they made, which keep it', async () => {
    const [first, second] = [await completed(), await completed()];
    const outputs = await outputsOf(first);
    expect(await remove(first)).toMatchObject({ runIds: [first], artifactIds: [], reusedByRunIds: [second] });
    expect(await outputsOf(second)).toEqual(outputs);
  });

  it('are removed also where their logs are damaged', async () => {
    const runId = await completed();
    const log = join(home(), 'runs', runId, 'events.jsonl');
    await writeFile(log, (await readFile(log, 'utf8')).replace('stage.started', 'stage\n'));
    await expect(remove(runId)).resolves.toMatchObject({ runIds: [runId] });
    expect(await listed()).toEqual([]);
  });

  it('are made anew by the same request after they were removed', async () => {
    const request = { requestId: randomUUID(), recipe: recipeText(curation) };
    const first = (await harness.client.createRun(request)).run!.runId;
    await harness.events(first);
    await remove(first);
    const again = await harness.client.createRun(request);
    expect(again.alreadyCreated).toBe(false);
    expect(again.run!.runId).not.toBe(first);
    expect((await harness.events(again.run!.runId)).at(-1)!.type).toBe('run.completed');
  });

  it('are told with when they last did something, also where they have no end', async () => {
    const runId = await completed();
    const log = join(home(), 'runs', runId, 'events.jsonl');
    const lines = (await readFile(log, 'utf8')).trim().split('\n').slice(0, -1);
    await writeFile(log, `${lines.join('\n')}\n`);
    const { run } = await harness.client.getRun(runId);
    const { time } = JSON.parse(lines.at(-1)!) as Event;
    expect(run).toMatchObject({
      status: RunStatus.RUN_STATUS_CRASHED,
      lastEventAt: new Date(time),
      endedAt: undefined,
    });
  });

  it('are no more at a time than locks can be held, and any number of them for a dry run', async () => {
    const runIds = Array.from({ length: 1001 }, (_, index) => `r-${index}`);
    const refused = harness.client.removeRuns({ runIds, dryRun: false });
    await expect(refused).rejects.toMatchObject({ code: 'too_many_runs', kind: 'usage' });
    expect((await harness.client.removeRuns({ runIds, dryRun: true })).runIds).toEqual([]);
  });

  it('are watched to their ends by who watched before they were removed', async () => {
    const runId = await completed();
    const events = await harness.events(runId);
    const seen: Event[] = [];
    for await (const event of harness.client.watch(runId)) {
      if (seen.length === 0) await remove(runId);
      seen.push(event);
    }
    expect(seen).toEqual(events);
    await expect(harness.events(runId)).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('are told as removed to who waits for the end of one that has none', async () => {
    const runId = await completed();
    const log = join(home(), 'runs', runId, 'events.jsonl');
    const lines = (await readFile(log, 'utf8')).trim().split('\n');
    await writeFile(log, `${lines.slice(0, -1).join('\n')}\n`);
    const watched = (async () => {
      for await (const event of harness.client.watch(runId)) if (event.sequence === 1) await remove(runId);
    })();
    await expect(watched).rejects.toMatchObject({ code: 'run_not_found', message: expect.stringContaining('removed') });
  });
});

describe('runs that have not ended', () => {
  it('are not removed while they wait or run, nor is any other that was named with them', async () => {
    await start({ cpus: 1 });
    const ended = await completed();
    const outputs = await outputsOf(ended);
    const [running, waiting] = [await create(long), await create(curation, { count: '61' })];
    for (const runId of [running, waiting]) {
      await expect(remove(ended, runId)).rejects.toMatchObject({
        code: 'run_locked',
        message: expect.stringContaining(runId),
      });
    }
    expect(await outputsOf(ended)).toEqual(outputs);
    await harness.client.cancelRun({ runId: waiting, reason: '' });
    expect((await remove(waiting)).runIds).toEqual([waiting]);
    await harness.client.cancelRun({ runId: running, reason: '' });
  });

  it('keep all others from being removed where another process runs them', async () => {
    await start();
    const [first, second] = [await completed(), await completed()];
    const owner = { pid: 1, host: 'elsewhere', startedAt: new Date().toISOString() };
    const file = join(home(), 'runs', second, 'owner.json');
    await writeFile(file, JSON.stringify(owner));
    await expect(remove(first)).rejects.toMatchObject({
      code: 'runs_under_way',
      message: expect.stringContaining(second),
    });
    await expect(remove(second)).rejects.toMatchObject({ code: 'run_locked' });
    expect(await listed()).toEqual([second, first]);
  });
});

describe('beside runs that go on', () => {
  it('what one of them uses stays, and what it does not use goes', async () => {
    await start();
    const first = await completed();
    const [pool, ...others] = await outputsOf(first);
    const running = await create(busy);
    await eventsUntil(running, ({ type, stage }) => type === 'stage.reused' && stage === 'pool');
    expect((await remove(first)).artifactIds).toEqual(others);
    expect(await outputsOf(running)).toEqual([pool]);
    await harness.client.cancelRun({ runId: running, reason: '' });
    expect((await remove(running)).artifactIds).toEqual([pool]);
  });

  /** A run that has ended, one that takes the whole machine, and one that waits and is to find the first output of the first. */
  async function waitingToFind() {
    await start({ cpus: 1 });
    const first = await completed();
    const outputs = await outputsOf(first);
    const running = await create(long);
    const waiting = await create(busy.replace('400000', '20'));
    expect((await harness.client.describeServer()).queuedRunIds).toEqual([waiting]);
    expect(await remove(first)).toMatchObject({ runIds: [first], artifactIds: outputs.slice(1) });
    expect(await missingOf(outputs)).toEqual(outputs.slice(1));
    expect((await listed()).toSorted()).toEqual([running, waiting].toSorted());
    return { running, waiting, pool: outputs[0]! };
  }

  it('what one of them is to find that waits stays, and goes with it', async () => {
    const { running, waiting, pool } = await waitingToFind();
    await harness.client.cancelRun({ runId: running, reason: '' });
    const events = await harness.events(waiting);
    expect(events.find(({ type }) => type === 'stage.reused')).toMatchObject({ stage: 'pool' });
    expect(events.at(-1)!.type).toBe('run.completed');
    // What was left of the removed run goes as soon as nobody is to find it any more.
    const runs = [running, waiting].toSorted();
    await soon(async () => expect((await readdir(join(home(), 'runs'))).toSorted()).toEqual(runs));
    expect(await missingOf([pool])).toEqual([]);
    expect((await remove(waiting)).artifactIds).toContain(pool);
  });

  it('what a waiting one was to find goes when that is canceled', async () => {
    const { running, waiting, pool } = await waitingToFind();
    await harness.client.cancelRun({ runId: waiting, reason: '' });
    await soon(async () => expect(await missingOf([pool])).toEqual([pool]));
    await harness.client.cancelRun({ runId: running, reason: '' });
  });

  it('what a waiting one is to find stays when the server is started again, which takes that run up', async () => {
    const { running, waiting, pool } = await waitingToFind();
    await harness.stop();
    await harness.serve({ cpus: 1 });
    await harness.client.cancelRun({ runId: running, reason: '' });
    const events = await harness.events(waiting);
    expect(events.find(({ type }) => type === 'stage.reused')).toMatchObject({ stage: 'pool' });
    expect(await missingOf([pool])).toEqual([]);
  });

  it('however they come together, each run ends well and has all that it made', async () => {
    await start();
    let before = await completed();
    const outputs = await outputsOf(before);
    for (let round = 0; round < 6; round += 1) {
      const runId = await create();
      await eventsUntil(runId, ({ type }) => type === 'run.started');
      await remove(before);
      expect((await harness.events(runId)).at(-1)!.type).toBe('run.completed');
      expect(await outputsOf(runId)).toEqual(outputs);
      expect(await listed()).toEqual([runId]);
      before = runId;
    }
    expect((await remove(before)).artifactIds).toEqual(outputs);
    expect(await missingOf(outputs)).toEqual(outputs);
  });

  it('two removals of the same run take turns, and a resume finds it removed', async () => {
    await start();
    const runId = await create(long);
    await harness.client.cancelRun({ runId, reason: '' });
    const [one, other, resumed] = await Promise.allSettled([
      remove(runId),
      remove(runId),
      harness.client.resumeRun(runId),
    ]);
    const isGone = !existsSync(join(home(), 'runs', runId));
    if (isGone) {
      expect([one, other].flatMap((each) => (each.status === 'fulfilled' ? each.value.runIds : []))).toEqual([runId]);
      expect(resumed).toMatchObject({ status: 'rejected', reason: { code: 'run_not_found' } });
    } else {
      expect(resumed.status).toBe('fulfilled');
      for (const each of [one, other])
        expect(each).toMatchObject({ status: 'rejected', reason: { code: 'run_locked' } });
      await harness.client.cancelRun({ runId, reason: '' });
    }
  });
});

it('what a killed server left of a removed run goes when the next one starts', async () => {
  await start();
  const [first, second] = [await completed(), await completed(curation, { count: '61' })];
  const kept = await outputsOf(second);
  await harness.stop();
  const runs = join(home(), 'runs');
  await rename(join(runs, first), join(runs, `.removing-${first}`));
  await harness.serve();
  await soon(async () => expect(await readdir(runs)).toEqual([second]));
  expect(await readdir(join(home(), 'artifacts', 'dataset'))).toHaveLength(kept.length);
  expect(await outputsOf(second)).toEqual(kept);
});
