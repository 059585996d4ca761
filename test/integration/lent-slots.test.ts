import { setTimeout as wait } from 'node:timers/promises';
import { defineGrader, definePlugin, defineStage, defineTrainer, trainerName, z } from 'simmerkit';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { abortable } from '../../core/trainer/call-queue.js';
import launchers from '../../plugins/launchers/plugin.js';

const fake = fakeTrainerPlugin.trainers!.fake!;

/** A trainer whose environment takes until `made` resolves, stages that ask it, and one that does not. */
function slowPlugin(made: Promise<void>, onBegun: () => void) {
  const output = { dataset: { type: 'dataset', description: 'A row.' } } as const;
  return definePlugin({
    name: 'slow',
    version: '1.0.0',
    apiVersion: 1,
    trainers: {
      trainer: defineTrainer({
        description: 'The fake trainer, after a while.',
        options: fake.options,
        relevantVersions: fake.relevantVersions,
        resources: () => ({ cpus: 2 }),
        prepare: async (options, context) => {
          await abortable(made, context.signal);
          return fake.prepare(options, context);
        },
      }),
      ready: defineTrainer({ ...fake, resources: () => ({ cpus: 1000 }) }),
    },
    graders: {
      grader: defineGrader({
        description: 'Grades nothing, after a while.',
        options: z.strictObject({}),
        async start(_, { emit }) {
          await emit({ type: 'stage.progressed', data: { done: 1, total: 2, unit: 'packages' } });
          await made;
          const data = { name: 'grader', path: '/none', reused: false, seconds: 1, versions: {} };
          await emit({ type: 'environment.prepared', data });
          return { grade: async () => [], async [Symbol.asyncDispose]() {} };
        },
      }),
    },
    stages: {
      grades: defineStage({
        description: 'Asks for its grader.',
        options: z.strictObject({}),
        inputs: {},
        outputs: output,
        async run(context) {
          const grader = context.grader('slow/grader');
          // By then it is waited for.
          setImmediate(onBegun);
          await grader;
          return { dataset: await context.artifacts.writeDataset([{ a: 1 }], { columns: { a: 'BIGINT' } }) };
        },
      }),
      asks: defineStage({
        description: 'Asks its trainers who they are, all at once.',
        options: z.strictObject({ trainer: trainerName(), other: trainerName().optional() }),
        inputs: {},
        outputs: output,
        async run(context) {
          const { trainer, other } = context.options;
          const named = other === undefined ? [trainer] : [trainer, other];
          const told = await Promise.all(named.map(async (name) => (await context.trainer(name)).describe()));
          const rows = told.map(({ version }) => ({ version }));
          return { dataset: await context.artifacts.writeDataset(rows, { columns: { version: 'VARCHAR' } }) };
        },
      }),
      plain: defineStage({
        description: 'Needs no trainer.',
        options: z.strictObject({ number: z.int() }),
        inputs: {},
        outputs: output,
        async run(context) {
          onBegun();
          const { number } = context.options;
          return { dataset: await context.artifacts.writeDataset([{ number }], { columns: { number: 'BIGINT' } }) };
        },
      }),
    },
  });
}

const recipe = (asks: string, trainers = 'student: { uses: slow/trainer }') => `
name: lent
trainers: { ${trainers} }
stages:
  asked: { uses: slow/asks, with: { ${asks} } }
  one: { uses: slow/plain, with: { number: 1 } }
  two: { uses: slow/plain, with: { number: 2 } }
  again: { uses: slow/asks, with: { ${asks} }, seed: 1 }
`;

/** Environments that are made as soon as so many stages have begun that call the other, once each. */
function madeOnceBegun(count: number): [made: Promise<void>, onBegun: () => void] {
  const { promise: made, resolve: isMade } = deferred<void>();
  let begun = 0;
  const onBegun = () => {
    begun++;
    if (begun === count) isMade();
  };
  return [made, onBegun];
}

it.each([
  ['a trainer', recipe('trainer: student')],
  [
    'two trainers that a stage asks at once',
    recipe('trainer: student, other: teacher', 'student: { uses: slow/trainer }, teacher: { uses: slow/trainer }'),
  ],
])(
  'stages that need no trainer run while the environment of %s is made, though it takes all cores',
  async (_, text) => {
    await using harness = await RunHarness.create({ plugins: [slowPlugin(...madeOnceBegun(2)), launchers] });
    const run = await harness.run(text);
    // The environment is made once the two have begun.
    expect(run.outcome).toMatchObject({ status: 'completed' });
    const started = run.events.flatMap(({ type, stage }) => (type === 'stage.started' ? [stage] : []));
    // The two take a core each: which is the first to start is open.
    expect([started[0], started.slice(1, 3).toSorted(), started[3]]).toEqual(['asked', ['one', 'two'], 'again']);
  },
);

it('stages run while the environment of a grader is made, and another that waits for it says so', async () => {
  await using harness = await RunHarness.create({ plugins: [slowPlugin(...madeOnceBegun(4)), launchers] });
  const run = await harness.run(`
name: lent
stages:
  first: { uses: slow/grades, resources: { cpus: 1000 } }
  second: { uses: slow/grades, seed: 1 }
  one: { uses: slow/plain, with: { number: 1 } }
  two: { uses: slow/plain, with: { number: 2 } }
`);
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const isMade = run.events.findIndex(({ type }) => type === 'environment.prepared');
  const begun = run.events.slice(0, isMade).flatMap(({ type, stage }) => (type === 'stage.started' ? [stage] : []));
  expect(begun.toSorted()).toEqual(['first', 'one', 'second', 'two']);
  const said = run.eventsOf('log.written').map(({ stage, data }) => [stage, data.message]);
  expect(said).toContainEqual(['second', 'Waiting for the Python environment of slow/grader, which first makes.']);
});

it('a stage keeps its slots where one of its trainers is ready, however long the environment of another takes', async () => {
  const longer = 1_500;
  await using harness = await RunHarness.create({ plugins: [slowPlugin(wait(longer), () => {}), launchers] });
  const trainers = 'student: { uses: slow/ready }, teacher: { uses: slow/trainer }';
  const run = await harness.run(recipe('trainer: student, other: teacher', trainers));
  expect(run.outcome).toMatchObject({ status: 'completed' });
  const order = run.events.flatMap(({ type, stage }) => (/^stage\.(started|completed)$/.test(type) ? [stage] : []));
  expect(order.slice(0, 2)).toEqual(['asked', 'asked']);
});

it('an interruption ends a stage that waits for an environment beside others', async () => {
  const interruption = new AbortController();
  const plugin = slowPlugin(new Promise(() => {}), () => interruption.abort());
  await using harness = await RunHarness.create({ plugins: [plugin, launchers] });
  const run = await harness.run(recipe('trainer: student'), { signal: interruption.signal });
  expect(run.outcome).toMatchObject({ status: 'interrupted' });
  expect(run.eventsOf('stage.interrupted').map(({ stage }) => stage)).toContain('asked');
});
