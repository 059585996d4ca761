import { join } from 'node:path';
import { type Event, random } from 'simmerkit';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../temporary-folder.js';
import { builtModule } from './built-module.js';
import { type CoreProcessOptions, killedCore } from './core-process.js';
import { countingPlugin, watched } from './counting-plugin.js';
import { killedRecipe } from './killed-core.js';
import { heldTraining, reaching, trainingPlugins, trainingRecipe } from './trained-core.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Says the run's error where there is one. */
function expectCompleted({ outcome }: HarnessRun): void {
  expect(outcome.status, JSON.stringify(outcome)).toBe('completed');
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('kill -9 of the core', () => {
  it('at random moments loses nothing that was acknowledged, and does nothing that is done again', async () => {
    const seed = Number(process.env.SIMMER_KILL_SEED ?? Date.now() % 1_000_000);
    const moments = random(seed, 'kills');
    const home = join(folder, 'home');
    const core = (runId: string | undefined, killAfter: CoreProcessOptions['killAfter']) =>
      killedCore({
        program: builtModule('test/integration/killed-core.ts'),
        home,
        runId,
        temporaryFolder: folder,
        killAfter,
      });
    const acknowledged: Event[] = [...(await core(undefined, () => moments.integer(60)))];
    const runId = acknowledged[0]!.runId;
    let kills = 1;
    for (; kills < 8 && acknowledged.at(-1)?.type !== 'run.completed'; kills++) {
      acknowledged.push(...(await core(runId, () => moments.integer(60))));
    }
    acknowledged.push(...(await core(runId, () => undefined)));
    const told = `seed ${seed}, ${kills} kills`;
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())], home });
    const run = await harness.resume(runId);
    expectCompleted(run);
    expect(run.eventsOf('log.written'), 'the code is the same in each core').not.toContainEqual(
      expect.objectContaining({ data: expect.objectContaining({ message: expect.stringContaining('has changed') }) }),
    );

    await using undisturbed = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    expect((await undisturbed.run(killedRecipe)).outcome, told).toEqual(run.outcome);

    expect(
      run.events.map((event) => event.sequence),
      told,
    ).toEqual(upTo(run.events.length));
    for (const event of acknowledged) expect(run.events[event.sequence - 1], told).toEqual(event);
    const done = run.events.filter(({ type }) => type === 'stage.completed' || type === 'stage.reused');
    expect(done.map((event) => event.stage).toSorted(), told).toEqual(['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'total']);
    for (const { stage, sequence } of done) {
      const later = run.eventsOf('stage.started').filter((event) => event.stage === stage && event.sequence > sequence);
      expect(later, told).toEqual([]);
    }
  });

  it('in the middle of a training leaves the trainer at work: a resume takes it up and misses no step', async () => {
    const home = join(folder, 'home');
    const core = (options: Partial<CoreProcessOptions>) =>
      killedCore({
        program: builtModule('test/integration/trained-core.ts'),
        home,
        temporaryFolder: folder,
        ...options,
      });
    const [created] = await core({ killAtStep: 7 });
    await using harness = await RunHarness.create({ plugins: trainingPlugins, home, resources: { cpus: 4 } });
    const runId = created!.runId;
    expect((await harness.manager.find(runId)).status).toBe('crashed');
    await core({ runId });
    const run = await harness.resume(runId);
    expectCompleted(run);
    expect(run.eventsOf('trainer.started')).toHaveLength(1);
    expect(run.eventsOf('trainer.attached')).toHaveLength(1);
    const steps = (stage: string) =>
      run
        .eventsOf('step.logged')
        .filter((event) => event.stage === stage)
        .map((event) => event.data.step);
    expect(steps('first')).toEqual(upTo(20));
    expect(steps('second')).toEqual(upTo(20));
    expect(run.eventsOf('stage.started').map(({ stage, attempt }) => `${stage} ${attempt}`)).toContain('first 2');
    expect(run.eventsOf('trainer.exited')).toMatchObject([{ data: { expected: true } }]);
  });

  it('at random moments of a training leaves every step in the log once, however many cores it took', async () => {
    const seed = Number(process.env.SIMMER_KILL_SEED ?? Date.now() % 1_000_000);
    const moments = random(seed, 'kills of cores that train');
    const home = join(folder, 'home');
    const core = (runId: string | undefined, killAfter: CoreProcessOptions['killAfter']) =>
      killedCore({
        program: builtModule('test/integration/trained-core.ts'),
        home,
        runId,
        temporaryFolder: folder,
        killAfter,
      });
    let [last] = (await core(undefined, (event) => (event.type === 'step.logged' ? 0 : undefined))).toReversed();
    const { runId } = last!;
    let kills = 1;
    for (; kills < 6 && last?.type !== 'run.completed'; kills++) {
      last = (await core(runId, () => 1 + moments.integer(400))).at(-1);
    }
    // The last one is left alone: the code of this process has another digest, and would train under another key.
    if (last?.type !== 'run.completed') await core(runId, () => undefined);
    await using harness = await RunHarness.create({ plugins: trainingPlugins, home, resources: { cpus: 4 } });
    const run = await harness.resume(runId);
    expectCompleted(run);
    const told = `seed ${seed}, ${kills} kills`;
    for (const stage of ['first', 'second']) {
      const steps = run.eventsOf('step.logged').filter((event) => event.stage === stage);
      expect(
        steps.map((event) => event.data.step),
        told,
      ).toEqual(upTo(20));
      expect(
        steps.filter((event) => event.data.rerun),
        told,
      ).toEqual([]);
    }
    expect(run.eventsOf('trainer.started'), told).toHaveLength(1);
    expect(
      run.events.map((event) => event.sequence),
      told,
    ).toEqual(upTo(run.events.length));
  });

  it("in the middle of a training whose plugin changes before the resume: the trainer's old work ends, new begins", async () => {
    const home = join(folder, 'home');
    const [created] = await killedCore({
      program: builtModule('test/integration/trained-core.ts'),
      home,
      temporaryFolder: folder,
      killAtStep: 7,
    });
    const changed = trainingPlugins.map((plugin) =>
      plugin.name === 'sft' ? { ...plugin, version: '999.0.0' } : plugin,
    );
    await using harness = await RunHarness.create({ plugins: changed, home, resources: { cpus: 4 } });
    const run = await harness.resume(created!.runId);
    expectCompleted(run);
    expect(run.eventsOf('trainer.attached')).toHaveLength(1);
    const secondAttempt = run
      .eventsOf('step.logged')
      .filter(({ stage, attempt }) => stage === 'first' && attempt === 2);
    expect(secondAttempt.map((event) => event.data.step)).toEqual(upTo(20));
  });
});

describe('a trainer', () => {
  it('is started once for all its stages, serves them one after the other, and ends when none needs it', async () => {
    await using harness = await RunHarness.create({ plugins: trainingPlugins, resources: { cpus: 4 } });
    const run = await harness.run(trainingRecipe);
    expectCompleted(run);
    expect(run.eventsOf('trainer.started')).toHaveLength(1);
    const at = (type: Event['type'], stage?: string) =>
      run.events.find((event) => event.type === type && event.stage === stage)!.sequence;
    expect(at('stage.completed', 'first')).toBeLessThan(at('stage.started', 'second'));
    expect(at('trainer.exited')).toBeGreaterThan(at('stage.completed', 'second'));
    expect(at('trainer.exited')).toBeLessThan(at('stage.started', 'seen'));

    const again = await harness.run(trainingRecipe);
    expect(again.outcome).toEqual(run.outcome);
    expect(again.eventsOf('trainer.started')).toEqual([]);
    expect(again.events.length).toBe(2 + 5 + 1);
  });

  it('that is interrupted saves a checkpoint, and a resume goes on from there', async () => {
    await using harness = await RunHarness.create({ plugins: trainingPlugins, resources: { cpus: 4 } });
    const { reached, sink } = reaching('first', 8);
    const handle = await harness.start(heldTraining(8), { sinks: [sink] });
    await reached;
    handle.interrupt('Ctrl-C');
    const interrupted = await harness.ended(handle);
    expect(interrupted.outcome.status).toBe('interrupted');
    expect(interrupted.eventsOf('trainer.exited')).toMatchObject([{ data: { expected: true } }]);
    const saved = interrupted.eventsOf('checkpoint.saved').at(-1)!.data.step;

    const resumed = await harness.resume(handle.runId);
    expectCompleted(resumed);
    const startedAgain = resumed
      .eventsOf('training.started')
      .find((event) => event.stage === 'first' && event.attempt === 2);
    expect(startedAgain?.data.resumedAfterStep).toBe(saved);
    expect(saved).toBe(8);
  });
});
