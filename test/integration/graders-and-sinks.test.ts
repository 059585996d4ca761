import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  defineGrader,
  definePlugin,
  defineSink,
  defineStage,
  type Event,
  type EventType,
  manyInputs,
  type Sink,
  type StartedGrader,
  z,
} from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { createRunManager } from '../../core/container/create-run-manager.js';
import { countingPlugin, diamond, watched } from './counting-plugin.js';

/** A grader that counts its lives, a stage that uses it, and a sink that writes down what it saw. */
function testPlugin() {
  const lives = { started: 0, ended: 0 };
  const plugin = definePlugin({
    name: 'graded',
    version: '1.0.0',
    apiVersion: 1,
    graders: {
      equal: defineGrader({
        description: 'Right where gold and answer are the same text.',
        options: z.strictObject({ strict: z.boolean().default(true) }),
        async start(options) {
          lives.started += 1;
          return {
            grade: async (items) =>
              items.map(({ id, gold, answer }) => ({
                id,
                verdict: (options.strict ? gold === answer : gold.trim() === answer.trim()) ? 'right' : 'wrong',
                parsedAnswer: answer,
                parsedGold: gold,
                explanation: '',
              })),
            async [Symbol.asyncDispose]() {
              lives.ended += 1;
            },
          };
        },
      }),
    },
    stages: {
      grade: defineStage({
        description: 'Grades one answer.',
        options: z.strictObject({ answer: z.string(), strict: z.unknown().optional() }),
        inputs: { after: manyInputs('report', 'What has to come before.') },
        outputs: { report: { type: 'report', description: 'The verdict.' } },
        async run(context) {
          const { answer, strict } = context.options;
          const grader = await context.grader('graded/equal', strict === undefined ? {} : { strict });
          const [grade] = await grader.grade([{ id: '1', gold: '4', answer }]);
          return { report: await context.artifacts.writeReport({ verdict: grade?.verdict, answer }) };
        },
      }),
    },
    sinks: {
      types: defineSink({
        description: 'Writes the types of all events into the run folder.',
        options: z.strictObject({ file: z.string().default('types.json') }),
        open(options, context) {
          const types: EventType[] = [];
          const path = join(context.runFolder, options.file);
          return {
            onEvent: ({ type }) => {
              types.push(type);
            },
            async beforeCompleted() {
              const earlier: EventType[] = [];
              for await (const event of context.eventsOf(context.runId)) earlier.push(event.type);
              await writeFile(path, JSON.stringify({ types, earlier }));
              return { reportPath: path };
            },
          };
        },
      }),
    },
  });
  return { plugin, lives };
}

describe('graders', () => {
  it('have the Python with which a run was started, as stages do, also when it goes on without one, or the one named then', async () => {
    const pythons: (string | undefined)[] = [];
    const ofStages: (string | undefined)[] = [];
    const plugin = definePlugin({
      name: 'python',
      version: '1.0.0',
      apiVersion: 1,
      graders: {
        needing: defineGrader({
          description: 'Fails to start, and says with which Python.',
          options: z.strictObject({}),
          start(_, { python }) {
            pythons.push(python);
            throw new Error('it does not start');
          },
        }),
      },
      stages: {
        grade: defineStage({
          description: 'Asks for the grader.',
          options: z.strictObject({}),
          inputs: {},
          outputs: { report: { type: 'report', description: 'None.' } },
          run: async (context) => {
            ofStages.push(context.python);
            await context.grader('python/needing', {});
            return { report: await context.artifacts.writeReport({}) };
          },
        }),
      },
    });
    await using harness = await RunHarness.create({ plugins: [plugin] });
    const { catalog, settings } = harness;
    const managerWith = (python: string, from: string) =>
      createRunManager({ settings: { ...settings, python, sources: { python: from } }, catalog, builtInSinks: [] });
    const recipeText = 'name: python\nstages:\n  graded: { uses: python/grade }\n';
    const named = await managerWith('/first', '--python');
    const started = await named.start(await harness.plan(recipeText), { recipeText });
    await started.finished;
    const unnamed = await managerWith('/other', 'SIMMER_PYTHON');
    for (const manager of [unnamed, await managerWith('/second', '--python'), unnamed])
      await (await manager.resume(started.runId, {})).finished;
    expect(pythons).toEqual(['/first', '/first', '/second', '/second']);
    const other = await unnamed.start(await harness.plan(recipeText), { recipeText });
    await other.finished;
    await (await (await managerWith('/changed', 'SIMMER_PYTHON')).resume(other.runId, {})).finished;
    expect(pythons.slice(4), 'settings are those of now').toEqual(['/other', '/changed']);
    expect(ofStages).toEqual(pythons);
  });

  const recipe = `
name: graded
stages:
  four: { uses: graded/grade, with: { answer: "4" } }
  padded: { uses: graded/grade, with: { answer: "4 " } }
  lenient: { uses: graded/grade, with: { answer: " 4", strict: false } }
`;

  it('are started once for the same options, and end with the run', async () => {
    const { plugin, lives } = testPlugin();
    await using harness = await RunHarness.create({ plugins: [plugin] });
    const { outcome } = await harness.run(recipe);
    expect(outcome.status, JSON.stringify(outcome)).toBe('completed');
    expect(lives).toEqual({ started: 2, ended: 2 });

    await harness.run(recipe);
    expect(lives, 'a run from the cache starts none').toEqual({ started: 2, ended: 2 });
  });

  /** Runs a stage of one plugin that asks a grader of another one, which grades so. */
  async function asked(grade: StartedGrader['grade']) {
    const strange = definePlugin({
      name: 'strange',
      version: '1.0.0',
      apiVersion: 1,
      graders: {
        grader: defineGrader({
          description: 'Grades strangely.',
          options: z.strictObject({}),
          start: async () => ({ grade, async [Symbol.asyncDispose]() {} }),
        }),
      },
      stages: {},
    });
    const asking = defineStage({
      description: 'Has one answer graded.',
      options: z.strictObject({}),
      inputs: {},
      outputs: {},
      async run(context) {
        await (await context.grader('strange/grader', {})).grade([{ id: '1', gold: '4', answer: '4' }]);
        return {};
      },
    });
    const asker = definePlugin({ name: 'asker', version: '1.0.0', apiVersion: 1, stages: { ask: asking } });
    await using harness = await RunHarness.create({ plugins: [strange, asker] });
    return await harness.run(JSON.stringify({ name: 'r', stages: { a: { uses: 'asker/ask' } } }));
  }

  it('that throw are blamed by the name of their plugin, in a stage of another one', async () => {
    const run = await asked(async () => {
      throw new TypeError('no such thing');
    });
    const [failed] = run.eventsOf('stage.failed');
    expect(failed?.data.error).toMatchObject({
      code: 'stage_failed',
      message: expect.stringContaining('TypeError: no such thing'),
      hint: expect.stringContaining('the plugin "strange"'),
      stack: expect.stringContaining('TypeError: no such thing'),
    });
  });

  it('that give no grade for an answer fail the stage that asked, by their name', async () => {
    const { outcome } = await asked(async () => []);
    expect(outcome).toMatchObject({
      status: 'failed',
      error: {
        code: 'invalid_grades',
        message: expect.stringContaining('The grader strange/grader gave 0 grades where 1 were asked for'),
      },
    });
  });

  it('with options that do not fit are refused, and name the stage', async () => {
    await using harness = await RunHarness.create({ plugins: [testPlugin().plugin] });
    const { outcome } = await harness.run(recipe.replace('strict: false', 'strict: 3'));
    expect(outcome).toMatchObject({ status: 'failed', stage: 'lenient', error: { code: 'invalid_grader_options' } });
  });
});

describe('a sink of a plugin', () => {
  const recipe = (sinks: string) => `
name: watched
${sinks}
stages:
  numbers: { uses: counting/count, with: { to: 3 } }
  more: { uses: counting/sum, with: { of: ["\${{ stages.numbers.numbers }}"] } }
`;

  it('is opened where the recipe names it, with its options', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched()), testPlugin().plugin] });
    const { outcome, runFolder } = await harness.run(recipe('sinks: [{ uses: graded/types, with: { file: a.json } }]'));
    expect(outcome).toMatchObject({ status: 'completed', reportPath: join(runFolder, 'a.json') });
  });

  it('may log of each event: it is not given what it logs itself', async () => {
    const logging = definePlugin({
      name: 'logging',
      version: '1.0.0',
      apiVersion: 1,
      sinks: {
        all: defineSink({
          description: 'Writes a line for each event.',
          options: z.strictObject({}),
          open: (_, { log }) => ({ onEvent: ({ type }) => log.info(`got ${type}`) }),
        }),
      },
    });
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched()), logging] });
    const run = await harness.run(recipe('sinks: [{ uses: logging/all }]'));
    const lines = run.eventsOf('log.written').map(({ data }) => data.message);
    expect(lines).toContain('got stage.completed');
    expect(lines).not.toContain('got log.written');
  });

  it('sees the whole run from its first event, also when it was resumed', async () => {
    let isFirst = true;
    const watch = watched(async (stage) => {
      if (stage === 'more' && isFirst) throw new Error('not yet');
    });
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watch), testPlugin().plugin],
      sinks: ['graded/types'],
    });
    const failed = await harness.run(recipe(''));
    isFirst = false;
    const resumed = await harness.resume(failed.runId);
    const written: unknown = JSON.parse(await readFile(join(resumed.runFolder, 'types.json'), 'utf8'));
    const all = resumed.events.map(({ type }) => type);
    expect(written).toEqual({ types: all.slice(0, -1), earlier: all.slice(0, -1) });
  });

  it('hides no report of another one: that of sinks/report is the run’s, the others are told of', async () => {
    const { plugin } = testPlugin();
    const asReport = { ...plugin, name: 'sinks', sinks: { report: plugin.sinks!.types! } };
    await using harness = await RunHarness.create({
      plugins: [countingPlugin(watched()), plugin, asReport],
      sinks: ['sinks/report'],
    });
    const run = await harness.run(recipe('sinks: [{ uses: graded/types, with: { file: a.json } }]'));
    expect(run.outcome).toMatchObject({ reportPath: join(run.runFolder, 'types.json') });
    const told = run.eventsOf('log.written').map(({ data }) => data.message);
    expect(told).toContain(`The sink graded/types wrote ${join(run.runFolder, 'a.json')}.`);
  });

  it('writes the report of an earlier run anew from its log', async () => {
    const { plugin } = testPlugin();
    const asReport = { ...plugin, name: 'sinks', sinks: { report: plugin.sinks!.types! } };
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched()), asReport] });
    const { runId, runFolder } = await harness.run(recipe(''));
    expect(await harness.manager.writeReport(runId)).toBe(join(runFolder, 'types.json'));
    await expect(harness.manager.writeReport('nobody')).rejects.toMatchObject({ code: 'run_not_found' });
  });
});

describe('sinks of the caller', () => {
  it('get every event once and in order, are asked before run.completed, and are closed after it', async () => {
    const seen: string[] = [];
    const sink: Sink = {
      onEvent: ({ sequence, type }) => {
        seen.push(`${sequence} ${type}`);
      },
      beforeCompleted: async () => {
        seen.push('asked');
        return { reportPath: '/tmp/report.html' };
      },
      close: () => {
        seen.push('closed');
      },
    };
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { events, outcome } = await harness.run(diamond, { sinks: [sink] });
    const expected = events.map(({ sequence, type }) => `${sequence} ${type}`);
    expect(seen).toEqual([...expected.slice(0, -1), 'asked', expected.at(-1), 'closed']);
    expect(outcome).toMatchObject({ status: 'completed', reportPath: '/tmp/report.html' });
    expect(events.at(-1)?.data).toMatchObject({ reportPath: '/tmp/report.html' });
  });

  it('that throw are left out, with sink.failed, and harm nobody', async () => {
    const seen: EventType[] = [];
    const good: Sink = {
      onEvent: ({ type }) => {
        seen.push(type);
      },
    };
    const bad: Sink = {
      onEvent: ({ type }) => {
        if (type === 'stage.started') throw new Error('full up');
      },
    };
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { outcome, eventsOf } = await harness.run(diamond, { sinks: [bad, good] });
    expect(outcome.status).toBe('completed');
    expect(eventsOf('sink.failed')).toMatchObject([{ data: { sink: 'caller 1', error: { message: 'full up' } } }]);
    expect(seen).toContain('sink.failed');
    expect(seen.at(-1)).toBe('run.completed');
  });

  it('that change an event are left out, and change it for nobody else, not for the run either', async () => {
    const seen: Event[] = [];
    const bad: Sink = {
      onEvent: (event) => {
        if (event.type !== 'stage.completed') return;
        (event.data.outputs as Record<string, string>).forged = 'simmer://nothing';
      },
    };
    const good: Sink = { onEvent: (event) => void seen.push(event) };
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())] });
    const { events, eventsOf } = await harness.run(diamond, { sinks: [bad, good] });
    expect(seen).toEqual(events);
    expect(Object.keys(eventsOf('run.completed')[0]!.data.outputs).filter((name) => /forged/.test(name))).toEqual([]);
    expect(eventsOf('sink.failed')).toMatchObject([
      { data: { sink: 'caller 1', error: { message: expect.stringContaining('not extensible') } } },
    ]);
  });

  it('of a plugin that cannot be opened are told, and the run goes on', async () => {
    await using harness = await RunHarness.create({ plugins: [countingPlugin(watched())], sinks: ['nowhere/sink'] });
    const { outcome, eventsOf } = await harness.run(diamond);
    expect(outcome).toMatchObject({ status: 'completed', reportPath: null });
    expect(eventsOf('sink.failed')).toMatchObject([{ data: { error: { code: 'unknown_plugin' } } }]);
  });
});
