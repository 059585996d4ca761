import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, UserError, z } from 'simmerkit';
import type { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../../core/events/catalogue.js';
import { PluginCatalog } from '../../../core/plugin/catalog.js';
import type { SinkContext } from '../../../core/plugin/definitions.js';
import { silentLog } from '../../../core/plugin/log.js';
import { defaultProcessMachine } from '../../../core/plugin/process/process-machine.js';
import { failureOf, harnessWith, program } from './fixture-harness.js';
import { type Misbehavior, whereItHangs } from './fixture-misbehaviors.js';

const recipe = (options = '') => `name: g\nstages: { greet: { uses: fixture/greet, with: { ${options} } } }`;

/** A plugin in this process whose hooks are around those of the listed one. */
const outer = definePlugin({
  name: 'outer',
  version: '1.0.0',
  apiVersion,
  stages: {
    refuse: defineStage({
      description: 'Refuses.',
      options: z.strictObject({}),
      inputs: {},
      outputs: {},
      run: () => Promise.reject(new UserError('shy', 'It would rather not.')),
    }),
  },
  hooks: {
    async aroundStage({ log }, inside) {
      log.info('outer before');
      await inside();
      log.info('outer after');
    },
  },
});

const harnessOf = harnessWith(outer);

const event: Event = {
  runId: 'run',
  sequence: 1,
  time: '2026-01-01T00:00:00.000Z',
  type: 'stage.progressed',
  stage: 'greet',
  attempt: 1,
  data: { done: 1, total: null, unit: 'rows' },
};

const sinkContext = ({ home }: RunHarness): SinkContext => ({
  runId: 'run',
  runFolder: home,
  recipeFolder: home,
  log: silentLog,
  openArtifact: () => Promise.reject(new Error('It opens nothing.')),
  async *eventsOf() {},
});

describe('hooks of a plugin that is a process', () => {
  it('change a recipe before it is planned', async () => {
    await using harness = await harnessOf('hooks');
    expect((await harness.plan(recipe('rows: 4'))).stages[0]?.options).toMatchObject({ rows: 40 });
    expect((await harness.plan(recipe())).stages[0]?.options).toMatchObject({ rows: 3 });
  });

  it('have what they print while a recipe is planned told to people, by the name of the plugin', async () => {
    const said: string[] = [];
    const catalog = new PluginCatalog({
      builtIn: {},
      recipePlugins: [{ command: [process.execPath, program, 'prints'] }],
      baseFolder: tmpdir(),
      machine: { ...defaultProcessMachine(), say: (line) => said.push(line) },
    });
    const { definition } = await catalog.plugin('fixture');
    await definition.hooks?.beforePlan?.({ name: 'g' });
    expect(said).toEqual([expect.stringMatching(/fixture.*: looking at a recipe$/)]);
  });

  it('say what they have against a plan', async () => {
    await using harness = await harnessOf('hooks');
    await expect(harness.plan(recipe('rows: 60'))).rejects.toMatchObject({
      code: 'invalid_recipe',
      problems: [
        {
          code: 'too_loud',
          message: 'greet is too loud. (from the plugin "fixture")',
          hint: 'Psst.',
          position: { line: 2 },
        },
      ],
    });
  });

  it('run around a stage, nested with those of other plugins, and not around one that is reused', async () => {
    await using harness = await harnessOf('hooks');
    const lines = async () => (await harness.run(recipe())).eventsOf('log.written').map(({ data }) => data.message);
    expect(await lines()).toEqual([
      'outer before',
      'before greet, attempt 1 of fixture/greet',
      'secret is unknown',
      'after greet: nothing failed',
      'outer after',
    ]);
    expect(await lines()).toEqual([]);
  });

  it('are told that a stage failed, which they cannot hide', async () => {
    await using harness = await harnessOf('hooks');
    const run = await harness.run('name: g\nstages: { refuse: { uses: outer/refuse } }');
    expect(run.outcome).toMatchObject({
      status: 'failed',
      error: { code: 'shy', message: 'Stage "refuse" (outer/refuse): It would rather not.' },
    });
    expect(run.eventsOf('log.written').map(({ data }) => data.message)).toEqual([
      'outer before',
      'before refuse, attempt 1 of outer/refuse',
      'after refuse: shy failed',
    ]);
  });

  it('get each event of a run, in order, and its end', async () => {
    await using harness = await harnessOf('hooks');
    const run = await harness.run(recipe());
    const types = JSON.parse(await readFile(join(harness.recipeFolder, 'event-types.json'), 'utf8'));
    expect(types).toEqual(run.events.map(({ type }) => type));
  });
});

describe('a hook of a process that breaks', () => {
  it.each<readonly [Misbehavior, string, RegExp]>([
    ['before-plan-crash', 'plugin_exited', /^The hook beforePlan of the plugin "fixture" failed: .*exit code 9/],
    [
      'before-plan-hang',
      'plugin_hung',
      /^The hook beforePlan of the plugin "fixture" failed: .*not answered for 1 sec/,
    ],
    ['before-plan-rubbish', 'plugin_broke_contract', /^The hook beforePlan of the plugin "fixture" failed: .*no JSON/],
    ['before-plan-list', 'hook_failed', /^The hook beforePlan of the plugin "fixture" failed: .*that is no recipe/],
    [
      'after-plan-silent',
      'plugin_broke_contract',
      /^The hook afterPlan of the plugin "fixture" failed: .*without a message/,
    ],
    [
      'after-plan-refuse',
      'plugin_refused',
      /^The hook afterPlan of the plugin "fixture" failed: AfterPlan: no opinion/,
    ],
  ])('(%s) while a recipe is planned is one error, %s, that names it', async (misbehavior, code, message) => {
    await using harness = await harnessOf(misbehavior, whereItHangs(misbehavior, { answerSeconds: 1 }));
    const failure = await failureOf(harness.plan(recipe()));
    expect(failure).toMatchObject({ code, kind: 'usage', message: expect.stringMatching(message) });
  });

  it('of a kind that is not known is refused', async () => {
    await using harness = await harnessOf('hook-unknown');
    await expect(harness.catalog.plugin('fixture')).rejects.toMatchObject({
      code: 'invalid_plugin',
      message: expect.stringContaining('has a hook that is not known'),
    });
  });

  it.each<readonly [Misbehavior, string, RegExp]>([
    ['around-crash', 'plugin_exited', /exit code 11/],
    ['around-crash-after', 'plugin_exited', /exit code 12/],
    ['around-hang', 'plugin_timed_out', /took longer than its limit of 1 seconds/],
    ['around-hang-after', 'plugin_timed_out', /took longer than its limit of 1 seconds/],
    ['around-never', 'hook_failed', /it never ran what is inside of it/],
    ['around-twice', 'hook_failed', /it ran what is inside of it twice/],
    ['around-no-end', 'plugin_broke_contract', /without saying whether it completed or failed/],
    ['around-more', 'plugin_broke_contract', /sent something after it had completed the hook/],
    ['around-empty', 'plugin_broke_contract', /sent a message that says nothing/],
    ['around-fails', 'no_mood', /It would rather not/],
  ])('(%s) around a stage fails it with one error, %s, that names the hook', async (misbehavior, code, message) => {
    await using harness = await harnessOf(misbehavior, whereItHangs(misbehavior, { stageSeconds: 1 }));
    const run = await harness.run(recipe());
    expect(run.outcome).toMatchObject({
      status: 'failed',
      stage: 'greet',
      error: { code, message: expect.stringMatching(message) },
    });
    const { message: said = '' } = run.outcome.status === 'failed' ? run.outcome.error : {};
    expect(said).toMatch(/^Stage "greet" \(fixture\/greet\): The hook aroundStage of the plugin "fixture" failed: /);
  });

  it('stops with the run', async () => {
    await using harness = await harnessOf('around-hang');
    const handle = await harness.start(recipe(), {
      sinks: [{ onEvent: ({ type }) => void (type === 'stage.started' && handle.interrupt('enough')) }],
    });
    expect((await harness.ended(handle)).outcome).toEqual({ status: 'interrupted', reason: 'enough' });
  });

  it('on events gets no more, and the run goes on', async () => {
    await using harness = await harnessOf('event-crash');
    const run = await harness.run(recipe());
    expect(run.outcome.status).toBe('completed');
    const [failed, ...others] = run.eventsOf('sink.failed');
    expect(failed?.data).toMatchObject({
      sink: 'hook onEvent of fixture',
      error: {
        code: 'plugin_exited',
        message: expect.stringMatching(/^The hook onEvent of the plugin "fixture" failed: .*exit code 13/),
      },
    });
    expect(others).toEqual([]);
  });

  it.each<Misbehavior>(['event-open-hang', 'event-hang', 'event-close-hang'])(
    '(%s) on events is killed where it takes too long',
    async (misbehavior) => {
      await using harness = await harnessOf(misbehavior, { answerSeconds: 2 });
      const { openEvents } = await harness.catalog.plugin('fixture');
      const sink = openEvents!(silentLog);
      const used = async () => {
        await sink.onEvent(event);
        await sink.close?.();
      };
      expect(await failureOf(used())).toMatchObject({
        code: 'plugin_hung',
        message: expect.stringMatching(
          /^The hook onEvent of the plugin "fixture" failed: .*not answered for 2 seconds/,
        ),
      });
    },
  );
});

describe('a sink of a process', () => {
  it('has what it prints in the log of the run, as a hook on events has, and is not given it', async () => {
    await using harness = await harnessOf('prints');
    const run = await harness.run(recipe().replace('name: g', 'name: g\nsinks: [{ uses: fixture/types }]'));
    const told = run.eventsOf('log.written').filter(({ data }) => data.source === 'plugin fixture');
    const lines = told.map(({ data }) => data.message);
    expect(lines).toEqual(expect.arrayContaining(['the sink is open', 'the hook is open']));
    expect(lines.filter((line) => line === 'got stage.completed')).toHaveLength(2);
    const others = run.events.length - told.length;
    expect(lines.filter((line) => line.startsWith('got ')).length).toBeLessThanOrEqual(2 * others);
  });

  it.each<Misbehavior>(['event-open-hang', 'event-hang', 'event-close-hang'])(
    '(%s) is killed where it takes too long',
    async (misbehavior) => {
      await using harness = await harnessOf(misbehavior, { answerSeconds: 2 });
      const { definition } = await harness.catalog.sink('fixture/types');
      const used = async () => {
        const sink = await definition.open({}, sinkContext(harness));
        await sink.onEvent(event);
        await sink.close?.();
      };
      expect(await failureOf(used())).toMatchObject({
        code: 'plugin_hung',
        message: expect.stringMatching(/has not answered for 2 seconds; it was killed/),
      });
    },
  );
});
