import { access, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import type { EventDraft } from '../../core/events/catalogue.js';
import { newestCheckpoint } from '../../core/trainer/checkpoints.js';
import { EventMemory } from '../../core/trainer/event-memory.js';
import type { TrainingResult } from '../../core/trainer/trainer.js';
import { TrainerClient } from '../../core/trainer/trainer-client.js';
import { TrainerBench } from './trainer-bench.js';

let bench: TrainerBench;
beforeEach(async () => {
  bench = await TrainerBench.open();
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** A core trains to the end, and ends its trainer. */
async function train(...options: Parameters<TrainerBench['supervise']>): Promise<TrainingResult> {
  const supervisor = bench.supervise(...options);
  const result = await bench.stage(supervisor).train(bench.training());
  await supervisor.dispose('shutdown');
  return result;
}

/** A core that is left at a step, as by a closed terminal. @returns the process id of its trainer, which waits for another */
async function leaveAt(step: number): Promise<number> {
  const supervisor = bench.supervise({ holdAfterSteps: step });
  const interrupted = bench.stage(supervisor).train(bench.training());
  await bench.step(step);
  const [pid] = supervisor.processIds();
  await Promise.all([expect(interrupted).rejects.toThrow('let go of trainer student'), supervisor.dispose('leave')]);
  return pid!;
}

/** The step of the newest checkpoint that is whole. */
async function savedStep(): Promise<number | undefined> {
  return (await newestCheckpoint(join(bench.folder, 'scratch', 'training-student-1')))?.step;
}

/** Every event of every attempt once, in the trainer's order. */
function expectNothingLostOrDoubled() {
  for (const [attempt, numbers] of bench.trainerEvents()) expect(numbers, attempt).toEqual(upTo(numbers.length));
}

describe('a training', () => {
  it('starts the trainer, brings all its events into the log, and ends the trainer', async () => {
    const result = await train();

    expect(bench.of('trainer.started').map((event) => event.data.start)).toEqual([1]);
    expect(bench.of('trainer.described')[0]?.data.devices).toEqual(['cpu (none)']);
    expect(bench.of('training.started')[0]?.data).toMatchObject({ totalSteps: 20, rows: 20, resumedAfterStep: 0 });
    expect(bench.of('step.logged').map((event) => event.data.step)).toEqual(upTo(20));
    expect(bench.of('step.logged')[0]).toMatchObject({
      stage: 'tuned',
      attempt: 1,
      data: { totalSteps: 20, rerun: false },
    });
    expect(bench.of('training.completed')).toHaveLength(1);
    expectNothingLostOrDoubled();
    expect(result.steps).toBe(20);
    expect(JSON.parse(await readFile(join(result.modelFolder, 'config.json'), 'utf8'))).toHaveProperty('fake_name');
    expect(bench.events.at(-1)).toMatchObject({ type: 'trainer.exited', data: { expected: true, exitCode: 0 } });
    expect(await bench.alive()).toEqual([]);
  });

  it('goes on from the last checkpoint when the trainer is killed, which is noticed by its end', async () => {
    const supervisor = bench.supervise({ holdAfterSteps: 8 });
    const training = bench.stage(supervisor).train(bench.training());
    await bench.step(8);
    process.kill(supervisor.processIds()[0] as number, 'SIGKILL');
    await bench.seen((event) => event.type === 'trainer.exited');
    const saved = await savedStep();
    await training;
    await supervisor.dispose('shutdown');

    // How it ended, only who watches the process knows: no call that broke off says so.
    expect(bench.of('trainer.exited')[0]?.data).toMatchObject({ signal: 'SIGKILL', exitCode: null, expected: false });
    expect(bench.of('trainer.started').map((event) => event.data.start)).toEqual([1, 2]);
    expect(saved).toBe(5);
    expect(bench.of('training.started').map((event) => event.data.resumedAfterStep)).toEqual([0, saved]);
    expect(bench.of('training.failed')[0]?.data.error.code).toBe('trainer_exited');
    const steps = bench.of('step.logged').map((event) => event.data);
    expect(steps.filter(({ rerun }) => rerun).map(({ step }) => step)).toEqual([6, 7, 8]);
    expect(bench.of('step.diverged')).toEqual([]);
    expect(new Set(steps.map(({ step }) => step))).toEqual(new Set(upTo(20)));
    expectNothingLostOrDoubled();
  });

  it('says so where a step runs again with another loss', async () => {
    await train({ crashAtStep: 8, diverges: true });

    expect(bench.of('step.diverged').map((event) => event.data.step)).toEqual([6, 7, 8]);
    const { before, after } = bench.of('step.diverged')[0]?.data ?? {};
    expect(before).not.toBe(after);
  });

  it('gives up after the last restart, with the end of stderr', async () => {
    const supervisor = bench.supervise({ crashAtStep: 3, crashes: 9 }, { maxRestarts: 2 });
    const training = bench.stage(supervisor).train(bench.training());

    await expect(training).rejects.toMatchObject({
      code: 'trainer_exited',
      kind: 'runFailed',
      message: expect.stringMatching(
        /student ended with signal SIGKILL.*restarted 2 times.*kills itself, as it was told/s,
      ),
    });
    expect(bench.of('trainer.exited')).toHaveLength(3);
    expect(bench.of('trainer.exited')[0]?.data.lastLines.at(-1)).toMatch('kills itself');
    expect(await bench.alive()).toEqual([]);
  });

  it('ends at once when it is stopped before its first step, though the trainer does not heed it', async () => {
    // As one does not whose libraries hold the interpreter while they are loaded.
    const supervisor = bench.supervise({ breaks: 'startsLate', hangAtStep: 1 });
    const stopping = new AbortController();
    const training = bench.stage(supervisor, stopping.signal).train(bench.training());
    await bench.seen(({ type, data }) => type === 'log.written' && data.message.includes('reads rows'));
    stopping.abort(new Error('Ctrl-C'));
    await expect(training).rejects.toThrow('Ctrl-C');
    await supervisor.dispose('shutdown');
    expect(bench.of('trainer.exited')[0]?.data).toMatchObject({ expected: true });
    expect(await bench.alive()).toEqual([]);
    // One that has begun is given two minutes for its checkpoint.
  }, 100_000);

  it('is taken up by the next core, which knows the log: nothing is lost, nothing doubled', async () => {
    await leaveAt(6);
    expect(bench.of('step.logged')).toHaveLength(6);

    const result = await train();

    expect(result.steps).toBe(20);
    expect(bench.of('trainer.started')).toHaveLength(1);
    expect(bench.of('trainer.attached')).toHaveLength(1);
    expect(bench.of('training.started')).toHaveLength(1);
    expect(bench.of('step.logged').map((event) => event.data.step)).toEqual(upTo(20));
    expect(bench.of('step.logged').at(-1)?.data.totalSteps).toBe(20);
    expectNothingLostOrDoubled();
  });

  it('that tells of each step by itself is read on while many of them wait for the disk', async () => {
    const last = 40;
    const { promise: synced, resolve: sync } = deferred<void>();
    const emit = async (...drafts: readonly EventDraft[]) => {
      await bench.emit(...drafts);
      if (drafts.some((draft) => draft.type === 'step.logged' && draft.data.step === last)) sync();
      // One write for all of them, as a slow disk has it.
      if (drafts.some((draft) => draft.type === 'step.logged')) await synced;
    };
    const supervisor = bench.supervise({ stepMilliseconds: 20 }, { emit });
    await bench.stage(supervisor).train(bench.training({ maxSteps: last }));
    await supervisor.dispose('shutdown');

    expect(bench.of('step.logged').map((event) => event.data.step)).toEqual(upTo(last));
    expectNothingLostOrDoubled();
  });

  it('that ended while no core was there is not done again', async () => {
    await leaveAt(2);
    const { address } = bench.of('trainer.started')[0]!.data;
    const [[attempt, numbers]] = [...bench.trainerEvents()] as [[string, readonly number[]]];
    const somebodyElse = new TrainerClient('student', address);
    for await (const _ of somebodyElse.watch(attempt, numbers.length));
    somebodyElse.close();

    const second = bench.supervise();
    await bench.stage(second).train(bench.training());
    await second.dispose('leave');

    // The model is made and everything told: a third core needs not even the trainer.
    const third = bench.supervise();
    const result = await bench.stage(third).train(bench.training());
    expect(result.steps).toBe(20);
    expect(bench.of('trainer.attached')).toHaveLength(1);
    expect(bench.of('training.completed')).toHaveLength(1);
    expectNothingLostOrDoubled();
  });

  it('goes on from a checkpoint where the trainer died together with its core', async () => {
    const pid = await leaveAt(7);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => bench.alive()).toEqual([]);
    const saved = await savedStep();

    await train();

    expect(bench.of('trainer.exited')[0]?.data).toMatchObject({ pid, expected: false, exitCode: null });
    for (const { data } of bench.of('trainer.started')) {
      await expect(access(join(data.address.slice('unix:'.length), '..'))).rejects.toMatchObject({ code: 'ENOENT' });
    }
    expect(bench.of('trainer.started').map((event) => event.data.start)).toEqual([1, 2]);
    expect(saved).toBe(5);
    expect(bench.of('training.started').map((event) => event.data.resumedAfterStep)).toEqual([0, saved]);
    expectNothingLostOrDoubled();
  });

  it.each([
    { how: 'lost', damage: (file: string) => rm(file), seen: 'has lost state.json' },
    { how: 'changed', damage: (file: string) => writeFile(file, 'other'), seen: 'is not as it was written' },
  ])('goes on from the checkpoint before one of which a file is $how, and says so', async ({ damage, seen }) => {
    const pid = await leaveAt(12);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => bench.alive()).toEqual([]);
    expect(await savedStep()).toBe(10);
    const checkpoints = join(bench.folder, 'scratch', 'training-student-1', 'checkpoints');
    await damage(join(checkpoints, 'step-00000010', 'state.json'));

    // What is saved anew is taken again.
    await train({ crashAtStep: 12 });

    expect(bench.of('training.started').map((event) => event.data.resumedAfterStep)).toEqual([0, 5, 10]);
    const warnings = bench.of('log.written').filter(({ data }) => data.level === 'warning');
    expect(warnings.map(({ data }) => data.message)).toEqual([
      expect.stringMatching(
        new RegExp(`^The checkpoint of step 10 cannot be used, and the one before it is: .*${seen}`),
      ),
    ]);
    const rerun = bench.of('step.logged').filter(({ data }) => data.step <= 12 && data.rerun);
    const times = (step: number) => rerun.filter(({ data }) => data.step === step).length;
    expect(upTo(12).map(times)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]);
    expectNothingLostOrDoubled();
  });

  it('begins anew where no checkpoint is left that can be used', async () => {
    const pid = await leaveAt(7);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => bench.alive()).toEqual([]);
    await rm(join(bench.folder, 'scratch/training-student-1/checkpoints/step-00000005/state.json'));
    const result = await train();
    expect(bench.of('training.started').map((event) => event.data.resumedAfterStep)).toEqual([0, 0]);
    const warnings = bench.of('log.written').filter(({ data }) => data.level === 'warning');
    expect(warnings.map(({ data }) => data.message)).toEqual([
      expect.stringMatching(
        /^The checkpoint of step 5 cannot be used, and training begins anew: .*has lost state.json/,
      ),
    ]);
    expect(result.steps).toBe(20);
  });

  it('that another run began is taken over from its checkpoint, and its orphaned trainer ended', async () => {
    await leaveAt(6);

    await train(
      {},
      { runId: 'run-2', runFolder: join(bench.folder, 'run-2'), memory: new EventMemory('student'), maxRestarts: 0 },
    );

    expect(bench.of('training.started').at(-1)?.data.resumedAfterStep).toBe(6);
    expect(bench.of('training.completed')).toHaveLength(1);
    await expect.poll(() => bench.alive()).toEqual([]);
  });

  it('saves a checkpoint and throws the reason when it is canceled', async () => {
    const stop = new AbortController();
    const supervisor = bench.supervise({ holdAfterSteps: 7 });
    const training = bench.stage(supervisor, stop.signal).train(bench.training());
    await bench.step(7);
    stop.abort(new Error('Ctrl-C'));

    await expect(training).rejects.toThrow('Ctrl-C');
    expect(bench.of('training.canceled')).toHaveLength(1);
    expect(bench.of('training.canceled')[0]?.data.step).toBe(7);
    expect(bench.of('checkpoint.saved').at(-1)?.data.step).toBe(7);

    await supervisor.dispose('shutdown');
    await train();
    expect(bench.of('training.started').at(-1)?.data.resumedAfterStep).toBe(7);
    expect(bench.of('step.logged').filter((event) => event.data.rerun)).toEqual([]);
    expectNothingLostOrDoubled();
  });

  it('keeps as many checkpoints as it was told', async () => {
    const supervisor = bench.supervise();
    await bench.stage(supervisor).train(bench.training({ checkpointsKept: 2 }));
    await supervisor.dispose('shutdown');
    const folder = join(bench.folder, 'scratch', 'training-student-1', 'checkpoints');
    expect((await readdir(folder)).sort()).toEqual(['step-00000015', 'step-00000020']);
  });

  it('and another one of the same stage do not meet, and each is found again', async () => {
    const first = bench.supervise();
    const stage = bench.stage(first);
    const short = await stage.train(bench.training({ maxSteps: 4 }));
    const long = await stage.train(bench.training({ maxSteps: 6 }));
    expect([short.steps, long.steps]).toEqual([4, 6]);
    await first.dispose('shutdown');

    const second = bench.supervise();
    const again = bench.stage(second);
    expect(await again.train(bench.training({ maxSteps: 4 }))).toEqual(short);
    expect(await again.train(bench.training({ maxSteps: 6 }))).toEqual(long);
    expect(bench.of('training.started')).toHaveLength(2);
    expect(second.processIds()).toEqual([]);
  });

  it('that fails says why, and is not tried again', async () => {
    const supervisor = bench.supervise({ failAtStep: 4 });
    await expect(bench.stage(supervisor).train(bench.training())).rejects.toMatchObject({
      code: 'training_failed',
      message: expect.stringContaining('out_of_memory'),
      hint: expect.stringContaining('deviceBatchSize'),
    });
    expect(bench.of('training.started')).toHaveLength(1);
    await supervisor.dispose('shutdown');
  });

  it('that names a folder as its model that it was not given fails, and the folder stays', async () => {
    const supervisor = bench.supervise({ breaks: 'namesAnotherFolder' });
    await expect(bench.stage(supervisor).train(bench.training())).rejects.toMatchObject({
      code: 'model_misplaced',
      message: expect.stringContaining(`"student" names ${bench.folder} as`),
    });
    await supervisor.dispose('shutdown');
  });

  it('is refused with the trainer’s own words, its names as recipes have them, where the request can never succeed', async () => {
    const supervisor = bench.supervise();
    await expect(bench.stage(supervisor).train(bench.training({ learningRate: 0 }))).rejects.toMatchObject({
      code: 'hyperparameters_invalid',
      message: expect.stringContaining('learningRate must be above 0'),
    });
    await supervisor.dispose('shutdown');
  });
});
