import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { formatEventLine } from '../../events/run-log.fixture.js';
import { definePlugin, defineStage, manyInputs } from '../../plugin/define.js';
import { acquireRunLock } from '../../process/run-lock.js';
import { RunHarness } from '../../testing/run-harness.js';
import { eventsFile, retireRunFolder } from '../run-folder.js';
import { readRunState } from '../run-history.js';
import { removeRuns } from './remove-runs.js';

const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    say: defineStage({
      description: '',
      options: z.strictObject({ text: z.string() }),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      run: async ({ artifacts, options }) => ({ report: await artifacts.writeReport(options.text) }),
    }),
    refer: defineStage({
      description: '',
      options: z.strictObject({ folder: z.string() }),
      inputs: {},
      outputs: { model: { type: 'model', description: '' } },
      run: async ({ artifacts, options }) => ({
        model: await artifacts.referenceModel(options.folder, { of: 'a run' }),
      }),
    }),
    make: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { model: { type: 'model', description: '' } },
      async run({ artifacts }) {
        const folder = await artifacts.temporaryFolder();
        await writeFile(join(folder, 'weights'), 'heavy');
        return { model: await artifacts.commitModel(folder) };
      },
    }),
    pay: defineStage({
      description: '',
      options: z.strictObject({ text: z.string() }),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      async run({ artifacts, options, keptFolder }) {
        const folder = await keptFolder({ model: 'r1' });
        await writeFile(join(folder, 'paid'), options.text);
        return { report: await artifacts.writeReport(await readdir(dirname(folder))) };
      },
    }),
    fail: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: { after: manyInputs('report', '') },
      outputs: {},
      run: async () => {
        throw new Error('never done');
      },
    }),
  },
});

let harness: RunHarness;
let store: ArtifactStore;
beforeEach(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
  store = await ArtifactStore.open(harness.home);
});
afterEach(() => harness[Symbol.asyncDispose]());

/** Runs stages that say something, and perhaps one after them that fails. @returns the run's id */
function run(texts: readonly string[], fails = false): Promise<string> {
  const stages = Object.fromEntries(texts.map((text) => [text, { uses: 'test/say', with: { text } }]));
  const after = texts.map((text) => `\${{ stages.${text}.report }}`);
  return runStages({ ...stages, ...(fails ? { fail: { uses: 'test/fail', with: { after } } } : {}) });
}

async function runStages(stages: Readonly<Record<string, object>>): Promise<string> {
  const recipe = JSON.stringify({ name: 'r', stages });
  const handle = await harness.manager.start(await harness.plan(recipe), { recipeText: recipe });
  expect((await handle.finished).status).toBe('fail' in stages ? 'failed' : 'completed');
  return handle.runId;
}

async function remove(removed: string, dryRun = false) {
  const run = (await harness.manager.list()).find(({ runId }) => runId === removed);
  return removeRuns([run!], { store, dryRun });
}

async function outputsOf(runId: string): Promise<Readonly<Record<string, string>>> {
  const { stages } = await readRunState(store.runFolder(runId));
  return Object.fromEntries(
    Object.entries(stages).map(([name, { outputs }]) => [name, Object.values(outputs)[0] ?? '']),
  );
}

it('takes along what only the run has, and leaves what another one reused', async () => {
  const [first, second] = [await run(['own', 'shared']), await run(['shared', 'other'])];
  const { own, shared } = await outputsOf(first);
  const expected = { runs: [first], artifacts: [own], bytes: Buffer.byteLength('"own"\n'), reusedBy: [second] };
  expect(await remove(first, true)).toEqual(expected);
  expect(await store.has(own!)).toBe(true);

  expect(await remove(first)).toEqual(expected);
  expect(await store.has(own!)).toBe(false);
  await store.verify(shared!);
  expect((await harness.manager.list()).map(({ runId }) => runId)).toEqual([second]);

  // What is gone is made again, what is left is found.
  const third = await run(['own', 'shared']);
  const { stages } = await readRunState(store.runFolder(third));
  expect([stages.own?.status, stages.shared?.status]).toEqual(['completed', 'reused']);
});

it('looks into the logs of other runs without reading each of their steps', async () => {
  const [first, second] = [await run(['own', 'shared']), await run(['shared'])];
  const log = eventsFile(store.runFolder(second));
  const last = (await readFile(log, 'utf8')).split('\n').length - 1;
  const lines = Array.from({ length: 500 }, (_, index) =>
    formatEventLine({
      ...{ runId: second, sequence: last + index + 1, time: '2026-01-01T00:00:00.000Z' },
      ...{ type: 'stage.progressed', stage: 'shared', data: { done: index, total: null, unit: 'rows' } },
    }),
  );
  await appendFile(log, `${lines.join('\n')}\n`);
  const { own } = await outputsOf(first);
  const parse = vi.spyOn(JSON, 'parse');
  expect(await remove(first, true)).toMatchObject({ artifacts: [own] });
  expect(parse.mock.calls.filter(([text]) => text.includes('stage.progressed')).length).toBeLessThan(20);
  parse.mockRestore();
});

it('takes along what an unfinished stage kept, unless another run may go on from it', async () => {
  const [first, second] = [await run([], true), await run([], true)];
  const { stages } = await readRunState(store.runFolder(first));
  const kept = ['scratch', 'locks'].map((folder) => join(harness.home, folder, stages.fail!.key));
  expect(kept.map(existsSync)).toEqual([true, true]);
  await remove(first);
  expect(kept.map(existsSync)).toEqual([true, true]);
  await remove(second);
  expect(kept.map(existsSync)).toEqual([false, false]);
});

it('takes along what was paid for with the last run that has it', async () => {
  const pay = (text: string) => runStages({ pay: { uses: 'test/pay', with: { text } } });
  const [first, second] = [await pay('1'), await pay('2')];
  const folder = join(harness.home, 'kept');
  const [digest = '', ...others] = await readdir(folder);
  expect(others).toEqual([]);
  const keyOf = async (run: string) => (await readRunState(store.runFolder(run))).stages.pay!.key;
  const [one, other] = [await keyOf(first), await keyOf(second)];
  expect((await readdir(join(folder, digest))).sort()).toEqual([one, other].sort());

  const third = await pay('1');
  await remove(first);
  expect((await readdir(join(folder, digest))).sort()).toEqual([one, other].sort());
  await remove(third);
  expect(await readdir(join(folder, digest))).toEqual([other]);
  await remove(second);
  expect(await readdir(folder)).toEqual([]);
});

it('takes along what the graders of the run kept', async () => {
  const [first, second] = [await run(['own']), await run(['own'])];
  for (const grader of [`${first}.judge`, `${first}.other`, `${second}.judge`])
    await store.keptFolder('digest', grader);
  await remove(first);
  expect(await readdir(join(harness.home, 'kept', 'digest'))).toEqual([`${second}.judge`]);
});

it('takes along what a killed process asked, with the last that was kept there', async () => {
  const [first, second] = [await run(['own']), await run(['own'])];
  for (const runId of [first, second]) await store.keptFolder('digest', `${runId}.judge`);
  await mkdir(join(harness.home, 'kept', 'digest.asked'));
  await symlink('a process', join(harness.home, 'kept', 'digest.asked', 'question'));
  await remove(first);
  expect((await readdir(join(harness.home, 'kept'))).sort()).toEqual(['digest', 'digest.asked']);
  await remove(second);
  expect(await readdir(join(harness.home, 'kept'))).toEqual([]);
});

it('takes along what every attempt of a stage kept, also that of code that was changed since', async () => {
  const failed = await run([], true);
  const events = join(store.runFolder(failed), 'events.jsonl');
  const [line = ''] = (await readFile(events, 'utf8')).trim().split('\n').slice(-1);
  const event = { ...JSON.parse(line), type: 'stage.started', stage: 'fail', attempt: 2 };
  const data = { uses: 'test/fail', key: 'changed' };
  await appendFile(events, `${JSON.stringify({ ...event, data, sequence: event.sequence + 1 })}\n`);
  await store.keptFolder('digest', 'changed');
  await remove(failed);
  expect([await readdir(join(harness.home, 'kept')), await readdir(join(harness.home, 'scratch'))]).toEqual([[], []]);
});

it('leaves a model that one of another run refers to', async () => {
  const first = await runStages({ make: { uses: 'test/make' } });
  const model = (await outputsOf(first)).make!;
  const { folder } = await store.open(model);
  await runStages({ refer: { uses: 'test/refer', with: { folder } } });
  expect((await remove(first)).artifacts).toEqual([]);
  await store.verify(model);
});

it('takes what was made and never told of, and names who reused it', async () => {
  const first = await run(['told']);
  const writer = store.writer();
  const untold = await writer.writeReport('untold');
  await writer[Symbol.asyncDispose]();
  const data = { uri: untold.uri, output: 'report', bytes: 1 };
  const events = join(store.runFolder(first), 'events.jsonl');
  const [line = ''] = (await readFile(events, 'utf8')).trim().split('\n').slice(-1);
  const event = { ...JSON.parse(line), type: 'artifact.committed', stage: 'told', data };
  await appendFile(events, `${JSON.stringify({ ...event, sequence: event.sequence + 1 })}\n`);
  const second = await run(['told']);
  expect(await remove(first)).toMatchObject({ artifacts: [untold.uri], reusedBy: [second] });
});

it('ends what a process began that was killed at it, also where no run is given', async () => {
  const [first, second] = [await run(['own', 'shared']), await run(['shared'])];
  const { own, shared } = await outputsOf(first);
  await store.keptFolder('digest', `${first}.judge`);
  await retireRunFolder(store.runFolder(first));
  expect((await harness.manager.list()).map(({ runId }) => runId)).toEqual([second]);
  await removeRuns([], { store, dryRun: false });
  expect(await readdir(store.runsFolder)).toEqual([second]);
  expect(await readdir(join(harness.home, 'kept'))).toEqual([]);
  expect(await store.has(own!)).toBe(false);
  await store.verify(shared!);
});

it('leaves to a process that is at it what that has begun', async () => {
  const first = await run(['own']);
  const { own } = await outputsOf(first);
  const retired = await retireRunFolder(store.runFolder(first));
  const lock = await acquireRunLock(retired);
  await removeRuns([], { store, dryRun: false });
  await store.verify(own!);
  await lock[Symbol.asyncDispose]();
  await removeRuns([], { store, dryRun: false });
  expect([await store.has(own!), existsSync(retired)]).toEqual([false, false]);
});

it('leaves what this process has found and not told of yet, and takes it along when that is let go', async () => {
  const first = await run(['own', 'found'], true);
  const { own, found } = await outputsOf(first);
  const { stages } = await readRunState(store.runFolder(first));
  const scratch = join(harness.home, 'scratch', stages.fail!.key);
  const held = [await store.hold([found!]), await store.holds.hold([stages.fail!.key])];
  expect((await remove(first)).artifacts).toEqual([own]);
  expect([await store.has(own!), existsSync(scratch), await harness.manager.list()]).toEqual([false, true, []]);
  await store.verify(found!);
  // It is reused still, as it was found.
  expect(await store.stages.lookup(stages.found!.key)).toBeDefined();

  for (const each of held) each[Symbol.dispose]();
  await removeRuns([], { store, dryRun: false });
  expect([await store.has(found!), existsSync(scratch)]).toEqual([false, false]);
  expect(await readdir(store.runsFolder)).toEqual([]);
});

it('leaves what was found in it by a run that has told of it by now', async () => {
  const first = await run(['found']);
  const { found } = await outputsOf(first);
  const held = await store.hold([found!]);
  await remove(first);
  const second = await run(['found']);
  held[Symbol.dispose]();
  await removeRuns([], { store, dryRun: false });
  await store.verify(found!);
  expect(await readdir(store.runsFolder)).toEqual([second]);
});

it('leaves the model that one refers to which this process has found', async () => {
  const first = await runStages({ make: { uses: 'test/make' } });
  const { folder } = await store.open((await outputsOf(first)).make!);
  const second = await runStages({ refer: { uses: 'test/refer', with: { folder } } });
  const { refer } = await outputsOf(second);
  using _held = await store.hold([refer!]);
  const runs = await harness.manager.list();
  expect((await removeRuns(runs, { store, dryRun: false })).artifacts).toEqual([]);
  await store.verify(refer!);
});

it('leaves a locked run and all others as they are', async () => {
  const [first, second] = [await run(['one']), await run(['two'])];
  await using _lock = await acquireRunLock(store.runFolder(second));
  const removed = await harness.manager.list();
  const options = { store, dryRun: false };
  await expect(removeRuns(removed, options)).rejects.toMatchObject({ code: 'run_locked' });
  for (const id of [first, second]) for (const uri of Object.values(await outputsOf(id))) await store.verify(uri);
});

it('removes nothing while a run or a server may reuse it', async () => {
  const first = await run(['own']);
  const recipe = JSON.stringify({ name: 'r', stages: { say: { uses: 'test/say', with: { text: 'x' } } } });
  const other = await harness.manager.create(await harness.plan(recipe), { recipeText: recipe });
  const lock = await acquireRunLock(other.runFolder);
  await expect(remove(first)).rejects.toMatchObject({ code: 'runs_under_way', kind: 'environment' });
  await lock[Symbol.asyncDispose]();
  expect((await remove(first)).runs).toEqual([first]);
});

/** Only its first event can be read. */
async function damage(log: string): Promise<void> {
  const [created] = (await readFile(log, 'utf8')).split('\n');
  await writeFile(log, `${created}\nnot an event\n${created}\n`);
}

it('removes a run whose log is damaged, and leaves what such a one has', async () => {
  const [first, damaged] = [await run(['own', 'shared']), await run(['mine', 'shared'])];
  const { own, shared } = await outputsOf(first);
  const { mine } = await outputsOf(damaged);
  const log = join(store.runFolder(damaged), 'events.jsonl');
  await damage(log);
  expect((await remove(first)).artifacts).toEqual([own]);
  expect(await store.has(shared!)).toBe(true);
  expect([...(await remove(damaged)).artifacts].sort()).toEqual([mine, shared].sort());
  expect(await harness.manager.list()).toEqual([]);
});

it('removes nothing while the log of another run is there and cannot be opened: it may have what would go', async () => {
  const [first, closed] = [await run(['shared']), await run(['shared'])];
  const { shared } = await outputsOf(first);
  const log = join(store.runFolder(closed), 'events.jsonl');
  await rename(log, `${log}.kept`);
  await symlink(log, log);
  await expect(remove(first)).rejects.toMatchObject({ code: 'log_missing', kind: 'environment' });
  expect((await harness.manager.list()).map(({ runId }) => runId).toSorted()).toEqual([first, closed].toSorted());
  await store.verify(shared!);
});

it('leaves alone what a run whose log is damaged only refers to', async () => {
  const folder = join(harness.recipeFolder, 'elsewhere');
  await mkdir(folder);
  await writeFile(join(folder, 'weights'), 'of somebody');
  const referring = await runStages({ refer: { uses: 'test/refer', with: { folder } } });
  await writeFile(join(store.runFolder(referring), 'artifacts', '.DS_Store'), '');
  await damage(join(store.runFolder(referring), 'events.jsonl'));
  expect((await remove(referring)).artifacts).toEqual([]);
  expect(existsSync(join(folder, 'weights'))).toBe(true);
});

it('removes runs beside a folder that holds none', async () => {
  const only = await run(['a']);
  await mkdir(join(harness.home, 'runs', 'notes'));
  expect(await remove(only)).toMatchObject({ runs: [only], artifacts: [expect.stringContaining('simmer://')] });
  expect(await harness.manager.list()).toEqual([]);
});
