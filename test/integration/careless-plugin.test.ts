import { definePlugin, defineSink, defineStage, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';

/** A plugin whose stage makes one row after some work. */
function pluginThat(
  work: (context: Parameters<ReturnType<typeof defineStage>['run']>[0]) => Promise<void>,
): ReturnType<typeof definePlugin> {
  const stage = defineStage({
    description: 'For this test.',
    options: z.object({}),
    inputs: {},
    outputs: { dataset: { type: 'dataset', description: 'One row.' } },
    async run(context) {
      await work(context as never);
      return { dataset: await context.artifacts.writeDataset([{ id: '1' }], { columns: { id: 'VARCHAR' } }) };
    },
  });
  return definePlugin({ name: 'careless', version: '1.0.0', apiVersion: 1, stages: { work: stage } });
}

it('ends a run where a stage paid a sum that is no number, and counts the most that it could be', async () => {
  const price: { readonly usd?: number } = {};
  const paying = pluginThat(async ({ spending }) => {
    const reservation = await spending.reserve({ source: 'teacher', usd: 2 });
    reservation.settle({ usd: 3 * (price.usd as number) });
  });
  await using harness = await RunHarness.create({ plugins: [paying] });
  const run = await harness.run('name: trial\nbudget: { usd: 5 }\nstages: { s: { uses: careless/work } }');
  expect(run.outcome).toMatchObject({
    status: 'failed',
    error: { code: 'invalid_spending', message: expect.stringContaining('What teacher did cost, `usd`, is NaN.') },
  });
  expect(run.eventsOf('budget.spent').map(({ data }) => data.total.usd)).toEqual([2]);
});

it('is named where it answers something else than it should while a recipe is planned', async () => {
  const { stages, ...plugin } = pluginThat(async () => {});
  const planOf = async (more: object, hooks: object = {}) => {
    const work = { ...stages?.work, ...more } as ReturnType<typeof defineStage>;
    await using harness = await RunHarness.create({ plugins: [{ ...plugin, stages: { work }, hooks }] });
    return await harness.plan('name: trial\nstages: { s: { uses: careless/work } }');
  };
  const failed = (words: string) => ({ code: 'plugin_failed', message: expect.stringContaining(words) });
  await expect(planOf({ check: () => [{ mesage: 'x' }] })).rejects.toMatchObject(failed('`check` of careless/work'));
  await expect(planOf({ resources: () => ({ cpus: 'many' }) })).rejects.toMatchObject(
    failed('`resources` of careless'),
  );
  await expect(planOf({}, { afterPlan: () => 'no' })).rejects.toMatchObject(
    failed(
      '`afterPlan` of the plugin "careless" returned does not fit: Invalid input: expected array, received string.',
    ),
  );
});

it.each(['check', 'checkInputs'])('has what `%s` finds of no one option told of all of them', async (asked) => {
  const { stages, ...plugin } = pluginThat(async () => {});
  const found = () => [{ path: '', code: 'odd', message: 'They do not fit together.' }];
  const work = { ...stages?.work, [asked]: found } as ReturnType<typeof defineStage>;
  await using harness = await RunHarness.create({ plugins: [{ ...plugin, stages: { work } }] });
  await expect(harness.plan('name: trial\nstages: { s: { uses: careless/work, with: {} } }')).rejects.toMatchObject({
    problems: [{ code: 'odd', path: 'stages.s.with' }],
  });
});

it('is left out as a sink where it opens nothing that takes events', async () => {
  const shut = defineSink({ description: 'For this test.', options: z.object({}), open: () => undefined as never });
  await using harness = await RunHarness.create({
    plugins: [{ ...pluginThat(async () => {}), sinks: { shut } }],
  });
  const run = await harness.run(
    'name: trial\nsinks: [{ uses: careless/shut }]\nstages: { s: { uses: careless/work } }',
  );
  expect(run.outcome.status).toBe('completed');
  expect(run.eventsOf('sink.failed').map(({ data }) => [data.sink, data.error.message])).toEqual([
    ['careless/shut', 'TypeError: its `open` returned nothing with an `onEvent`'],
  ]);
});

it('fails a stage with why its server could not be reached', async () => {
  const asking = pluginThat(async () => {
    throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:9') });
  });
  await using harness = await RunHarness.create({ plugins: [asking] });
  const { outcome } = await harness.run('name: trial\nstages: { s: { uses: careless/work } }');
  expect(outcome).toMatchObject({
    status: 'failed',
    error: {
      code: 'stage_failed',
      message: 'Stage "s" (careless/work) failed: TypeError: fetch failed: connect ECONNREFUSED 127.0.0.1:9',
    },
  });
});
