import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import { definePlugin, defineStage, input } from '../plugin/define.js';
import { RunHarness } from '../testing/run-harness.js';
import { lastTimes } from './last-times.js';
import { eventsFile } from './run-folder.js';

const say = defineStage({
  description: '',
  options: z.strictObject({ text: z.string(), fails: z.boolean().default(false) }),
  inputs: {},
  outputs: { report: { type: 'report', description: '' } },
  async run({ artifacts, options }) {
    if (options.fails) throw new Error('never done');
    return { report: await artifacts.writeReport(options.text) };
  },
});
const repeat = defineStage({
  description: '',
  options: z.strictObject({}),
  inputs: { report: input('report', '') },
  outputs: { report: { type: 'report', description: '' } },
  run: async ({ artifacts, inputs }) => ({ report: await artifacts.writeReport(inputs.report.uri) }),
});
const stages = { say, tell: say, repeat };
const plugin = definePlugin({ name: 'test', version: '1.0.0', apiVersion: 1, stages });

let harness: RunHarness;
let store: ArtifactStore;
beforeEach(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
  store = await ArtifactStore.open(harness.home);
});
afterEach(() => harness[Symbol.asyncDispose]());

type Stages = Readonly<Record<string, { readonly text: string; readonly uses?: string; readonly fails?: boolean }>>;

function recipe(stages: Stages, name = 'talk'): string {
  const entries = Object.entries(stages).map(([stage, { uses = 'say', ...options }]) => [
    stage,
    { uses: `test/${uses}`, with: options },
  ]);
  return JSON.stringify({ name, stages: Object.fromEntries(entries) });
}

async function runsOf(stages: Stages, names = Object.keys(stages)): Promise<Readonly<Record<string, string>>> {
  const times = await lastTimes(await harness.plan(recipe(stages)), names, store);
  return Object.fromEntries([...times].map(([stage, { runId }]) => [stage, runId]));
}

describe('how long stages took', () => {
  it('is told of the last run that did each, whatever its options were, where none had the same', async () => {
    const { runId: first } = await harness.run(recipe({ a: { text: 'one' }, b: { text: 'two' } }));
    // What is reused took nothing, and says nothing.
    const { runId: second } = await harness.run(recipe({ a: { text: 'three' }, b: { text: 'two' } }));
    expect(await runsOf({ a: { text: 'new' }, b: { text: 'new' } })).toEqual({ a: second, b: first });
    expect(await runsOf({ a: { text: 'new' }, b: { text: 'new' } }, ['b'])).toEqual({ b: first });
  });

  it('is told of one that had the same to do, also where later ones had not', async () => {
    const all = { a: { text: 'one' }, b: { text: 'two' } };
    const { runId: first } = await harness.run(recipe(all));
    for (const text of ['three', 'four', 'five', 'six']) await harness.run(recipe({ a: { text } }));
    // Ids tell runs of one second in no order.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 1000 });
    onTestFinished(() => void vi.useRealTimers());
    const { runId: last } = await harness.run(recipe({ a: { text: 'seven' } }));
    expect(await runsOf(all)).toEqual({ a: first, b: first });
    const times = await lastTimes(
      await harness.plan(recipe({ a: { text: 'new' }, b: { text: 'two' } })),
      ['a', 'b'],
      store,
    );
    expect(times.get('a')).toMatchObject({ runId: last, isSameWork: false });
    expect(times.get('b')).toMatchObject({ runId: first, isSameWork: true });
  });

  it('is not that of the same work where a stage before it had other options', async () => {
    const chain = (text: string) =>
      JSON.stringify({
        name: 'talk',
        stages: {
          a: { uses: 'test/say', with: { text } },
          b: { uses: 'test/repeat', with: { report: `\${{ stages.a.report }}` } },
        },
      });
    const { runId } = await harness.run(chain('one'));
    const isSame = async (text: string) => {
      const times = await lastTimes(await harness.plan(chain(text)), ['a', 'b'], store);
      return [...times].map(([stage, last]) => [stage, last.runId, last.isSameWork]);
    };
    expect(await isSame('two')).toEqual([
      ['a', runId, false],
      ['b', runId, false],
    ]);
    expect(await isSame('one')).toEqual([
      ['a', runId, true],
      ['b', runId, true],
    ]);
  });

  it('is not told of other recipes, of other stages of the name, or of what failed', async () => {
    await harness.run(recipe({ a: { text: 'one' } }, 'another'));
    await harness.run(recipe({ a: { text: 'two', uses: 'tell' } }));
    await harness.run(recipe({ a: { text: 'three', fails: true } }));
    expect(await runsOf({ a: { text: 'new' } })).toEqual({});
  });

  it('is told beside a run whose log is damaged', async () => {
    const { runId } = await harness.run(recipe({ a: { text: 'one' } }));
    const { runFolder } = await harness.run(recipe({ a: { text: 'two' } }));
    await writeFile(eventsFile(runFolder), 'rubbish\n{}\n');
    expect(await runsOf({ a: { text: 'new' } })).toEqual({ a: runId });
  });
});
