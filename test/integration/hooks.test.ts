import { apiVersion, definePlugin, defineStage, type Json, type PluginHooks, UserError, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';

const said: string[] = [];

/** Two plugins with hooks, the first with a stage too. */
function harnessOf(first: PluginHooks, second: PluginHooks = {}): Promise<RunHarness> {
  said.length = 0;
  const greet = defineStage({
    description: 'Greets.',
    options: z.strictObject({ whom: z.string().default('all'), fail: z.boolean().default(false) }),
    inputs: {},
    outputs: { report: { type: 'report', description: 'The greeting.' } },
    async run({ options, artifacts }) {
      said.push(`greets ${options.whom}`);
      if (options.fail) throw new UserError('shy', 'It would rather not.');
      return { report: await artifacts.writeReport(options.whom) };
    },
  });
  const named = { version: '1.0.0', apiVersion } as const;
  return RunHarness.create({
    plugins: [
      definePlugin({ name: 'first', ...named, stages: { greet }, hooks: first }),
      definePlugin({ name: 'second', ...named, hooks: second }),
    ],
  });
}

const recipe = (given = '') => `name: hooked\nstages: { greet: { uses: first/greet, with: { ${given} } } }`;

/** Puts another value for `whom` into the recipe's one stage. */
function greeting(change: (whom: Json | undefined) => string): PluginHooks {
  return {
    beforePlan(tree) {
      const { greet } = tree.stages as unknown as { greet: { uses: string; with: { whom?: Json } } };
      return { ...tree, stages: { greet: { ...greet, with: { ...greet.with, whom: change(greet.with.whom) } } } };
    },
  };
}

describe('hooks', () => {
  it('before a plan go one after the other, each on what the one before left', async () => {
    await using harness = await harnessOf(
      greeting((whom) => `${whom} and first`),
      greeting((whom) => `${whom} and second`),
    );
    const plan = await harness.plan(recipe('whom: me'));
    expect(plan.stages[0]?.options).toMatchObject({ whom: 'me and first and second' });
  });

  it('before a plan are checked like what is written', async () => {
    await using harness = await harnessOf({ beforePlan: (tree) => ({ ...tree, stages: {} }) });
    await expect(harness.plan(recipe())).rejects.toMatchObject({
      problems: [{ path: 'stages', message: 'stages: a recipe has at least one stage.' }],
    });
  });

  it('after a plan say together what they have against it', async () => {
    const against = (what: string): PluginHooks => ({
      afterPlan: ({ recipe: name }) => [{ message: `${name}: ${what}.`, path: 'stages.greet.with.whom' }],
    });
    await using harness = await harnessOf(against('too loud'), {
      afterPlan: async () => [{ code: 'night', message: 'It is late.', path: 'name', hint: 'Sleep.' }],
    });
    await expect(harness.plan(recipe('whom: me'))).rejects.toMatchObject({
      code: 'invalid_recipe',
      problems: [
        { code: 'night', message: 'It is late. (from the plugin "second")', hint: 'Sleep.', position: { line: 1 } },
        { code: 'plan_refused', message: 'hooked: too loud. (from the plugin "first")', position: { line: 2 } },
      ],
    });
  });

  const around = (name: string): PluginHooks => ({
    async aroundStage({ stage }, inside) {
      said.push(`${name} before ${stage}`);
      try {
        await inside();
      } finally {
        said.push(`${name} after ${stage}`);
      }
    },
  });

  it('around a stage are nested, the first outermost, and left out where nothing is done', async () => {
    await using harness = await harnessOf(around('first'), around('second'));
    await harness.run(recipe());
    expect(said).toEqual([
      'first before greet',
      'second before greet',
      'greets all',
      'second after greet',
      'first after greet',
    ]);
    said.length = 0;
    expect((await harness.run(recipe())).eventsOf('stage.reused')).toHaveLength(1);
    expect(said).toEqual([]);
  });

  it('around a stage cannot hide its failure', async () => {
    await using harness = await harnessOf(around('first'), {
      aroundStage: async (_stage, inside) => inside().catch(() => undefined),
    });
    expect((await harness.run(recipe('fail: true'))).outcome).toMatchObject({
      status: 'failed',
      error: { code: 'shy', message: 'Stage "greet" (first/greet): It would rather not.' },
    });
    expect(said.at(-1)).toBe('first after greet');
  });

  it.each<readonly [string, PluginHooks, string]>([
    ['throws', { aroundStage: () => Promise.reject(new Error('no mood')) }, 'no mood'],
    ['never runs the stage', { aroundStage: async () => undefined }, 'it never ran what is inside of it'],
    [
      'runs it twice',
      { aroundStage: async (_stage, inside) => inside().then(inside) },
      'it ran what is inside of it twice',
    ],
  ])('around a stage: one that %s fails the stage by its own name', async (_what, hooks, why) => {
    await using harness = await harnessOf({}, hooks);
    expect((await harness.run(recipe())).outcome).toMatchObject({
      status: 'failed',
      error: {
        code: 'hook_failed',
        message: `Stage "greet" (first/greet): The hook aroundStage of the plugin "second" failed: ${why}.`,
      },
    });
  });

  it('on events get each, in order; one that throws gets no more, and the run goes on', async () => {
    const seen: number[] = [];
    await using harness = await harnessOf(
      { onEvent: ({ sequence }) => void seen.push(sequence) },
      { onEvent: () => Promise.reject(new Error('too much')) },
    );
    const run = await harness.run(recipe());
    expect(run.outcome.status).toBe('completed');
    expect(seen).toEqual(run.events.map(({ sequence }) => sequence));
    expect(run.eventsOf('sink.failed').map(({ data }) => [data.sink, data.error.message])).toEqual([
      ['hook onEvent of second', 'The hook onEvent of the plugin "second" failed: too much.'],
    ]);
  });

  it('that do not exist are named', async () => {
    const hooks = { beforePlans: () => undefined } as unknown as PluginHooks;
    await using harness = await harnessOf({}, hooks);
    await expect(harness.catalog.plugin('second')).rejects.toMatchObject({
      code: 'invalid_plugin',
      message: expect.stringContaining('there is no hook `beforePlans`; there are beforePlan, afterPlan'),
    });
  });
});
