import {
  defineGrader,
  defineLauncher,
  definePlugin,
  defineSink,
  defineStage,
  defineTrainer,
  graderChoice,
  secretVariable,
  trainerName,
  z,
} from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { afterEach, expect, it } from 'vitest';

const variable = 'SECRETIVE_API_KEY';
const keyed = z.strictObject({ apiKeyVariable: secretVariable().optional() });

const output = { dataset: { type: 'dataset', description: 'A row.' } } as const;
const columns = { number: 'BIGINT' };

const plugin = definePlugin({
  name: 'secretive',
  version: '1.0.0',
  apiVersion: 1,
  graders: {
    judge: defineGrader({
      description: 'Takes a key, and is never asked.',
      options: keyed,
      start: () => Promise.reject(new Error('nobody asks it')),
    }),
  },
  sinks: {
    tells: defineSink({
      description: 'Takes a key, and tells nobody.',
      options: keyed,
      open: () => ({ onEvent: () => undefined }),
    }),
  },
  trainers: {
    keyed: defineTrainer({
      description: 'Takes a key, and is never started.',
      options: keyed,
      relevantVersions: async () => ({}),
      prepare: () => Promise.reject(new Error('nobody starts it')),
    }),
  },
  launchers: {
    keyed: defineLauncher({
      description: 'Takes a key, and is never asked.',
      options: keyed,
      launch: () => Promise.reject(new Error('nobody asks it')),
      attach: async () => undefined,
    }),
  },
  stages: {
    trains: defineStage({
      description: 'Names a trainer, and makes a row.',
      options: z.strictObject({ trainer: trainerName() }),
      inputs: {},
      outputs: output,
      run: async (context) => ({ dataset: await context.artifacts.writeDataset([{ number: 1 }], { columns }) }),
    }),
    asks: defineStage({
      description: 'May take a key, and makes a row.',
      options: keyed.extend({ grader: graderChoice('secretive/judge') }),
      inputs: {},
      outputs: output,
      run: async (context) => ({ dataset: await context.artifacts.writeDataset([{ number: 1 }], { columns }) }),
    }),
  },
});

const recipe = `
name: keys
stages:
  plain: { uses: secretive/asks, seed: 1 }
  own: { uses: secretive/asks, seed: 2, with: { apiKeyVariable: ${variable} } }
  judged: { uses: secretive/asks, seed: 3, with: { grader: { with: { apiKeyVariable: ${variable} } } } }
`;

afterEach(() => {
  delete process.env[variable];
});

it('a secret that is not set is told at the start of a run, with the stages that need it', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin] });
  const warningsOf = async () => {
    const run = await harness.run(recipe);
    return run.eventsOf('log.written').map(({ data, sequence }) => [data.level, data.message, sequence]);
  };
  const message = `The environment variable ${variable}, which stages own, judged need, is not set.`;
  expect(await warningsOf()).toEqual([['warning', message, 3]]);
  // Of what is there, nobody asks.
  expect(await warningsOf()).toEqual([]);
});

it('a secret that is set is no word in the log', async () => {
  process.env[variable] = 'sesame';
  await using harness = await RunHarness.create({ plugins: [plugin] });
  expect((await harness.run(recipe)).eventsOf('log.written')).toEqual([]);
});

it('a secret that a sink needs is told in every run, beside the stages that need it', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin] });
  const told = async () => {
    const sinks = `sinks: [{ uses: secretive/tells, with: { apiKeyVariable: ${variable} } }]`;
    return (await harness.run(`${recipe}${sinks}`)).eventsOf('log.written').map(({ data }) => data.message);
  };
  const and = (those: string) => `The environment variable ${variable}, which ${those}, is not set.`;
  expect(await told()).toEqual([and('stages own, judged and sink secretive/tells need')]);
  expect(await told()).toEqual([and('sink secretive/tells needs')]);
});

it('a secret that a trainer or its launcher needs is told where a stage is left that uses the trainer', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin] });
  const key = `with: { apiKeyVariable: ${variable} }`;
  const trained = `
name: trained
trainers:
  student: { uses: secretive/keyed, launcher: secretive/keyed, ${key} }
  launched: { uses: secretive/keyed, launcher: { uses: secretive/keyed, ${key} } }
  idle: { uses: secretive/keyed, launcher: secretive/keyed, ${key} }
stages:
  one: { uses: secretive/trains, with: { trainer: student } }
  other: { uses: secretive/trains, with: { trainer: launched } }
`;
  const told = async () => {
    const messages = (await harness.run(trained)).eventsOf('log.written').map(({ data }) => data.message);
    return messages.filter((message) => message.includes(variable));
  };
  expect(await told()).toEqual([
    `The environment variable ${variable}, which trainers student, launched need, is not set.`,
  ]);
  expect(await told()).toEqual([]);
});
