import { appendFile, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event } from 'simmerkit';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { eventsFile } from '../../core/engine/run-folder.js';
import { summarizeRun } from '../../core/engine/run-history.js';
import curation from '../../plugins/curation/plugin.js';
import { countingPlugin, diamond, facts, watched } from './counting-plugin.js';

const failing = (how: string, more = '') => `
name: failing
stages:
  good: { uses: counting/count, with: { to: 1 } }
  bad: { uses: counting/fail, with: { how: ${how}, of: "\${{ stages.good.numbers }}" } }
${more}`;

describe('a run', () => {
  it('runs stages side by side, hands their outputs on, and ends with run.completed', async () => {
    const started = new Set<string>();
    const { promise: both, resolve: bothStarted } = deferred<void>();
    const watch = watched(async (stage) => {
      started.add(stage);
      if (started.has('left') && started.has('right')) bothStarted();
      if (stage !== 'total') await both;
    });
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const run = await harness.run(diamond);

    expect(watch.mostAtOnce).toBe(2);
    expect(watch.begun.at(-1)).toBe('total');
    expect(await run.rows('total.numbers')).toEqual(
      [{ number: 13n }].map(({ number }) => ({ number: Number(number) })),
    );
    expect(run.events[0]?.type).toBe('run.created');
    expect(run.events[1]).toMatchObject({ type: 'run.started', data: { pid: process.pid, resumed: false } });
    const last = run.events.at(-1);
    expect(last?.type).toBe('run.completed');
    expect(last?.data).toMatchObject({ runId: run.runId, reportPath: null, metrics: { 'total.total': 13 } });
    expect(run.outcome).toMatchObject({ status: 'completed', metrics: { 'total.total': 13 } });
    expect(Object.keys((run.outcome as { outputs: object }).outputs)).toEqual([
      'left.numbers',
      'right.numbers',
      'total.numbers',
    ]);
    expect(run.events.map((event) => event.sequence)).toEqual(run.events.map((_, index) => index + 1));
    for (const { data } of run.eventsOf('stage.completed')) expect(data.peakMemoryBytes).toBeGreaterThan(1_000_000);
  });

  it('tells metrics in the order of the recipe, whichever stage ended first', async () => {
    const { promise: secondEnded, resolve: letGo } = deferred<void>();
    const onEvent = ({ type, stage }: Event) => void (type === 'stage.completed' && stage === 'second' && letGo());
    const watch = watched(async (stage) => {
      if (stage === 'first') await secondEnded;
    });
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const recipe = `
name: sums
stages:
  one: { uses: counting/count, with: { to: 1 } }
  first: { uses: counting/sum, with: { of: ["\${{ stages.one.numbers }}"] } }
  second: { uses: counting/sum, with: { of: ["\${{ stages.one.numbers }}", "\${{ stages.one.numbers }}"] } }
`;
    const { outcome } = await harness.run(recipe, { sinks: [{ onEvent }] });
    expect(Object.entries((outcome as { metrics: object }).metrics)).toEqual([
      ['first.total', 1],
      ['second.total', 2],
    ]);
  });

  it('never holds more cores than the machine has', async () => {
    const watch = watched();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)], resources: { cpus: 1 } });
    await harness.run(diamond);
    expect(watch.mostAtOnce).toBe(1);
  });

  it('leaves a folder that people can read', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { runFolder, runId, artifact } = await harness.run(diamond);
    expect(runId).toMatch(/^diamond-\d{8}-\d{6}-[0-9a-f]{4}$/);
    expect((await readdir(runFolder)).toSorted()).toEqual(['artifacts', 'events.jsonl', 'plan.json', 'recipe.yaml']);
    expect(await readFile(join(runFolder, 'recipe.yaml'), 'utf8')).toBe(diamond);
    expect(JSON.parse(await readFile(join(runFolder, 'plan.json'), 'utf8'))).toMatchObject({ format: 1, seed: 7 });
    const links = join(runFolder, 'artifacts');
    expect(await readdir(links)).toEqual(['left.numbers', 'right.numbers', 'total.numbers']);
    const target = await readlink(join(links, 'total.numbers'));
    expect(join(links, target)).toBe((await artifact('total.numbers')).folder);
  });

  it('removes what stages kept for a second attempt, once it is done', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    await harness.run(diamond);
    expect(await readdir(join(harness.home, 'scratch'))).toEqual([]);
  });
});

describe('a second run of the same recipe', () => {
  it('does no work, and tells the figures again', async () => {
    const watch = watched();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const first = await harness.run(diamond);
    const begun = watch.begun.length;
    const second = await harness.run(diamond);

    expect(watch.begun.length).toBe(begun);
    expect(second.eventsOf('stage.started')).toEqual([]);
    expect(second.eventsOf('stage.reused').map(({ data }) => data.madeBy)).toEqual(Array(3).fill(first.runId));
    const { outcome } = second;
    expect(outcome).toEqual(first.outcome);
    expect(second.eventsOf('funnel.counted').length).toBe(2);
    expect((await readdir(join(second.runFolder, 'artifacts'))).length).toBe(3);
  });

  it('tells the warnings of its stages again, of when they are, and of no run but the one that made them', async () => {
    const warnings = ({ eventsOf }: HarnessRun) =>
      eventsOf('log.written').flatMap(({ stage, data: { level, message } }) =>
        level === 'warning' ? [`${stage}: ${message}`] : [],
      );
    const recipe = `
name: idle
stages:
  pool: { uses: curation/generate-problems, with: { count: 3 } }
  few: { uses: curation/select, with: { dataset: "\${{ stages.pool.dataset }}", method: all, preselect: [ { source: none } ] } }
`;
    await using harness = await RunHarness.create({ plugins: [curation] });
    const first = await harness.run(recipe);
    const said = 'preselect.0 takes no row: a source is matched with its case, and all must hold.';
    expect(warnings(first)).toEqual([`few: ${said}`]);
    for (let again = 0; again < 2; again++) {
      const run = await harness.run(recipe);
      expect(run.eventsOf('stage.reused')).toHaveLength(2);
      expect(warnings(run)).toEqual([`few: When ${first.runId} made this: ${said}`]);
    }
  });

  it('works only on what a changed parameter touches', async () => {
    const watch = watched();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    await harness.run(diamond);
    watch.begun.length = 0;
    await harness.run(diamond, { params: { to: '5' } });
    expect(watch.begun).toEqual(['left', 'total']);
  });

  it('does no work where an input was made again with the same content', async () => {
    const watch = watched();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    await harness.run(diamond.replace('to: 2', 'to: 4'));
    // One key, two stages: the second finds what the first made.
    expect(watch.begun.filter((stage) => stage !== 'total').length).toBe(1);
  });

  it('makes anew what is no longer in the store', async () => {
    const watch = watched();
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const first = await harness.run(diamond);
    await rm((await first.artifact('left.numbers')).folder, { recursive: true });
    watch.begun.length = 0;
    const second = await harness.run(diamond);
    expect(second.outcome).toEqual(first.outcome);
    expect(watch.begun).toEqual(['left']);
  });

  it('is foreseen by the preview', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const plan = await harness.plan(diamond);
    const cacheOf = async () => (await harness.manager.preview(plan)).map(({ cache }) => cache);
    expect(await cacheOf()).toEqual(['miss', 'miss', 'unknown']);
    await harness.run(diamond);
    expect(await cacheOf()).toEqual(['hit', 'hit', 'hit']);
  });
});

describe('a stage that fails', () => {
  it('ends the run with its error, which names stage, plugin and cause', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { outcome, events } = await harness.run(failing('bug'));
    expect(outcome).toMatchObject({
      status: 'failed',
      stage: 'bad',
      error: {
        code: 'stage_failed',
        kind: 'runFailed',
        message: 'Stage "bad" (counting/fail) failed: TypeError: cannot read the moon',
        hint: expect.stringContaining('a bug in the plugin "counting" of Simmer: please report it'),
        stack: expect.stringContaining('counting-plugin'),
      },
    });
    expect(facts(events).slice(-3)).toEqual(['stage.started bad', 'stage.failed bad', 'run.failed']);
  });

  it('at any length has no event that is too large for a client', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { events } = await harness.run(failing('atLength'));
    expect(events.filter(({ type }) => type === 'log.written')).toHaveLength(2);
    expect(events.at(-1)!.type).toBe('run.failed');
    for (const event of events) expect(JSON.stringify(event).length).toBeLessThan(50_000);
  });

  it.each([
    ['user', 'moon_missing', 'Stage "bad" (counting/fail): There is no moon.'],
    ['noOutput', 'stage_output_missing', 'Stage "bad" (counting/fail): It did not return its output "numbers".'],
    [
      'wrongType',
      'stage_output_wrong_type',
      'Stage "bad" (counting/fail): Its output "numbers" is declared as dataset, but what it returned is a report.',
    ],
    ['forbiddenEvent', 'stage_event_not_allowed', 'Stage "bad" (counting/fail): A stage may not emit run.completed.'],
  ])('is told by its own code: %s', async (how, code, message) => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { outcome } = await harness.run(failing(how));
    expect(outcome).toMatchObject({ status: 'failed', error: { code, kind: 'runFailed', message } });
  });

  it('stops the others, and the first error is the one reported', async () => {
    const { promise: slowWorks, resolve: begin } = deferred<void>();
    const watch = watched(async (stage, signal) => {
      if (stage !== 'slow') return slowWorks;
      begin();
      await new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('a later error')));
      });
    });
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)] });
    const recipe = failing('user', '  slow: { uses: counting/count, with: { to: 9 } }\n');
    const { outcome, eventsOf, events } = await harness.run(recipe);
    expect(outcome).toMatchObject({ status: 'failed', stage: 'bad', error: { code: 'moon_missing' } });
    expect(eventsOf('stage.interrupted')).toMatchObject([
      { stage: 'slow', attempt: 1, data: { reason: 'stage "bad" failed' } },
    ]);
    expect(events.at(-1)?.type).toBe('run.failed');
  });

  it('is tried again by a resume, which leaves what is done', async () => {
    const watch = watched();
    let isMended = false;
    const plugin = countingPlugin(watch);
    const original = plugin.stages!.fail!;
    const mendable = {
      ...plugin,
      stages: {
        ...plugin.stages,
        fail: {
          ...original,
          run: (context: Parameters<typeof original.run>[0]) =>
            isMended ? Promise.resolve({ numbers: context.inputs.of as never }) : original.run(context),
        },
      },
    };
    await using harness = await RunHarness.create({ plugins: [mendable] });
    const failed = await harness.run(failing('user'));
    expect(failed.outcome.status).toBe('failed');
    isMended = true;
    watch.begun.length = 0;
    const resumed = await harness.resume(failed.runId);
    expect(resumed.outcome.status).toBe('completed');
    expect(watch.begun).toEqual([]);
    expect(facts(resumed.events).slice(-5)).toEqual([
      'run.started',
      'stage.started bad',
      'artifact.committed bad',
      'stage.completed bad',
      'run.completed',
    ]);
    expect(resumed.eventsOf('stage.started').at(-1)?.attempt).toBe(2);
  });
});

describe('the machine', () => {
  it('without the GPUs that a stage needs is told before anything is made', async () => {
    const watch = watched();
    const plugin = countingPlugin(watch);
    const needsGpu = {
      ...plugin,
      stages: { ...plugin.stages, count: { ...plugin.stages!.count!, resources: () => ({ cpus: 1, gpus: 1 }) } },
    };
    await using harness = await RunHarness.create({ plugins: [needsGpu] });
    await expect(harness.run(diamond)).rejects.toMatchObject({
      code: 'not_enough_gpus',
      kind: 'environment',
      message: 'Stage "left" needs 1 GPU on this machine, which has no GPUs.',
    });
    expect(await harness.manager.list()).toEqual([]);
  });
});

describe('the runs of a home', () => {
  it('are listed with one whose log is damaged, which alone cannot be looked at', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const damaged = await harness.run(diamond);
    const sound = await harness.run(diamond);
    await appendFile(eventsFile(damaged.runFolder), 'not an event\n');
    const list = await harness.manager.list();
    expect(new Map(list.map(({ runId, recipe, status }) => [runId, [recipe, status]]))).toEqual(
      new Map([
        [sound.runId, ['diamond', 'completed']],
        [damaged.runId, ['diamond', 'crashed']],
      ]),
    );
    await expect(harness.manager.find(damaged.runId)).rejects.toMatchObject({ code: 'log_damaged' });
  });

  it('are listed with one whose log the disk does not give', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const plan = { ...(await harness.plan(diamond)), changes: ['-p size=2'] };
    const unread = await harness.ended(await harness.manager.start(plan, { recipeText: diamond }));
    const sound = await harness.run(diamond);
    // The system opens a folder, and fails at reading it.
    await rm(eventsFile(unread.runFolder));
    await mkdir(eventsFile(unread.runFolder));
    const list = await harness.manager.list();
    expect(new Map(list.map(({ runId, status, changes }) => [runId, [status, changes]]))).toEqual(
      new Map([
        [sound.runId, ['completed', undefined]],
        [unread.runId, ['crashed', ['-p size=2']]],
      ]),
    );
    await expect(harness.manager.find(unread.runId)).rejects.toMatchObject({ code: 'log_failed', kind: 'environment' });
  });

  it('are not read where the latest is asked for, but for that one', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { runId, runFolder } = await harness.run(diamond);
    await mkdir(join(runFolder, '..', 'diamond-20200101-000000-1a2b'));
    await mkdir(join(runFolder, '..', 'notes'));
    const read: string[] = [];
    const latest = await harness.manager.find('latest', (folder) => {
      read.push(folder);
      return summarizeRun(folder);
    });
    expect([latest.runId, read]).toEqual([runId, [runFolder]]);
  });

  it.each(['', '{"format":', 'null', '[]', '{"format": 1}'])(
    'are listed with one whose plan is %j, which alone cannot be looked at',
    async (plan) => {
      await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
      const damaged = await harness.run(diamond);
      const sound = await harness.run(diamond);
      await writeFile(join(damaged.runFolder, 'plan.json'), plan);
      const list = await harness.manager.list();
      expect(new Map(list.map(({ runId, ...run }) => [runId, [run.recipe, run.status, run.stagesDone]]))).toEqual(
        new Map([
          [sound.runId, ['diamond', 'completed', 3]],
          [damaged.runId, ['diamond', 'completed', 3]],
        ]),
      );
      await expect(harness.manager.find(damaged.runId)).rejects.toMatchObject({
        code: 'run_folder_damaged',
        message: expect.stringContaining('plan.json'),
      });
    },
  );

  it('are told from inspections, which are not meant by latest', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const plan = { ...(await harness.plan(diamond)), inspects: 'total' };
    await harness.ended(await harness.manager.start(plan, { recipeText: diamond }));
    expect(await harness.manager.list()).toMatchObject([{ status: 'completed', inspects: 'total' }]);
    await expect(harness.manager.find('latest')).rejects.toMatchObject({
      code: 'run_not_found',
      message: 'There is no run yet, only inspections, which `latest` does not mean.',
    });
    const { runId } = await harness.run(diamond);
    expect((await harness.manager.find('latest')).inspects).toBeUndefined();
    expect((await harness.manager.find('latest')).runId).toBe(runId);
  });

  it('are not found by an empty name, also where there is but one', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    await harness.run(diamond);
    await expect(harness.manager.find('')).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('are listed newest first, and found by id, prefix or as latest', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const first = await harness.run(diamond);
    const second = await harness.run(failing('user'));
    const list = await harness.manager.list();
    expect(list.map(({ runId, status, stagesDone, stagesTotal }) => [runId, status, stagesDone, stagesTotal])).toEqual([
      [second.runId, 'failed', 1, 2],
      [first.runId, 'completed', 3, 3],
    ]);
    expect((await harness.manager.find('latest')).runId).toBe(second.runId);
    expect((await harness.manager.find('diam')).runId).toBe(first.runId);
    await expect(harness.manager.find('x')).rejects.toMatchObject({ code: 'run_not_found' });
    await harness.run(diamond);
    await expect(harness.manager.find('diamond')).rejects.toMatchObject({ code: 'run_ambiguous' });
  });
});
