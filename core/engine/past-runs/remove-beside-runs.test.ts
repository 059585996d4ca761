import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { Holds } from '../../artifacts/holds.js';
import { createRunManager } from '../../container/create-run-manager.js';
import { deferred } from '../../deferred.js';
import { type LogFileSystem, nodeLogFileSystem } from '../../events/log-file-system.js';
import { definePlugin, defineStage } from '../../plugin/define.js';
import { RunHarness } from '../../testing/run-harness.js';
import { readRunState } from '../run-history.js';
import type { RunManager } from '../run-manager.js';
import { removeRuns } from './remove-runs.js';

/** Lets who comes to it wait until it is opened. */
class Gate {
  readonly opened = deferred<void>();
  readonly reached = deferred<void>();

  async pass(): Promise<void> {
    this.reached.resolve();
    await this.opened.promise;
  }
}

/** Where the second run is held up. */
let gate: Gate;

const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    say: defineStage({
      description: '',
      options: z.strictObject({ text: z.string(), waits: z.boolean().default(false) }),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      async run({ artifacts, options }) {
        const report = await artifacts.writeReport(options.text);
        if (options.waits) await gate.pass();
        return { report };
      },
    }),
  },
});

let harness: RunHarness;
let store: ArtifactStore;
let manager: RunManager;
beforeEach(async () => {
  gate = new Gate();
  harness = await RunHarness.create({ plugins: [plugin] });
  const holds = new Holds();
  store = await ArtifactStore.open(harness.home, holds);
  const { settings, catalog } = harness;
  manager = await createRunManager({ settings, catalog, builtInSinks: [], holds, logFileSystem });
});
afterEach(() => harness[Symbol.asyncDispose]());

/** Of the second run: what it reuses is told only when the gate opens. */
const logFileSystem: LogFileSystem = {
  ...nodeLogFileSystem,
  async open(path) {
    const file = await nodeLogFileSystem.open(path);
    return {
      read: (buffer, position) => file.read(buffer, position),
      async write(bytes, position) {
        if (Buffer.from(bytes).includes('"stage.reused"')) await gate.pass();
        return file.write(bytes, position);
      },
      truncate: (length) => file.truncate(length),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
};

const recipe = (waits: boolean) =>
  JSON.stringify({ name: 'r', stages: { say: { uses: 'test/say', with: { text: 'x', waits } } } });

/** Removes a run that has ended while another one is held up, and lets that go on. */
async function removedBeside(waits: boolean) {
  const first = await harness.run(recipe(false));
  const { uri } = await first.artifact('say.report');
  const second = await manager.start(await harness.plan(recipe(waits)), { recipeText: recipe(waits) });
  await gate.reached.promise;
  const removal = await removeRuns([first], { store, dryRun: false, isServer: true });
  gate.opened.resolve();
  expect(await second.finished).toMatchObject({ status: 'completed', outputs: { 'say.report': uri } });
  const { stages } = await readRunState(second.runFolder);
  return { removal, uri, status: stages.say!.status };
}

it('what a run has found and not told of yet stays', async () => {
  const { removal, uri, status } = await removedBeside(false);
  expect([removal.artifacts, status]).toEqual([[], 'reused']);
  await store.verify(uri);
});

it('what a run has made again and not told of yet stays', async () => {
  const { removal, uri, status } = await removedBeside(true);
  expect([removal.artifacts, status]).toEqual([[], 'completed']);
  await store.verify(uri);
});
