import {
  apiVersion,
  defineGrader,
  definePlugin,
  defineStage,
  defineTrainer,
  graderChoice,
  trainerName,
  z,
} from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';

describe('the versions that a grader runs with', () => {
  let versions: Record<string, string> = {};
  let verdict: 'right' | 'wrong' = 'wrong';
  let onGrade: () => void = () => {};
  const plugin = definePlugin({
    name: 'lab',
    version: '1.0.0',
    apiVersion,
    graders: {
      strict: defineGrader({
        description: 'Grades by what is installed.',
        options: z.strictObject({}),
        relevantVersions: async () => versions,
        start: async () => ({
          grade: async (items) => {
            onGrade();
            return items.map(({ id }) => ({ id, verdict }));
          },
          [Symbol.asyncDispose]: async () => {},
        }),
      }),
    },
    stages: {
      ask: defineStage({
        description: 'Has one answer graded.',
        inputs: {},
        outputs: { report: { type: 'report', description: 'The verdict.' } },
        options: z.object({ grader: graderChoice('lab/strict') }),
        async run(context) {
          const { uses, with: options } = context.options.grader;
          const [grade] = await (await context.grader(uses, options)).grade([{ id: '1', gold: '4', answer: '4' }]);
          if (grade?.verdict !== 'right') throw new Error('It is wrong.');
          return { report: await context.artifacts.writeReport({ verdict: grade.verdict }) };
        },
      }),
    },
  });
  const asked = 'name: asked\nstages: { ask: { uses: lab/ask } }';
  const warnings = (run: Awaited<ReturnType<RunHarness['run']>>) =>
    run.eventsOf('log.written').map(({ data }) => data.message);

  it('are in the key of stages that name it, also of what a resumed run still makes', async () => {
    await using harness = await RunHarness.create({ plugins: [plugin] });
    versions = { sympy: '1.13' };
    const failed = await harness.run(asked);
    expect(failed.outcome.status).toBe('failed');
    versions = { sympy: '1.14' };
    verdict = 'right';
    const resumed = await harness.resume(failed.runId);
    expect(resumed.outcome).toMatchObject({ status: 'completed' });
    expect(warnings(resumed)).toContain(
      'What the grader lab/strict runs with has changed since the run began: what is left to do goes by what is there now.',
    );
    expect((await harness.run(asked)).eventsOf('stage.reused')).toHaveLength(1);
    versions = { sympy: '1.13' };
    expect((await harness.run(asked)).eventsOf('stage.reused')).toHaveLength(0);
  });

  it('may change while a stage runs, whose outputs no other run reuses then', async () => {
    await using harness = await RunHarness.create({ plugins: [plugin] });
    versions = { sympy: '1.13' };
    verdict = 'right';
    onGrade = () => {
      versions = { sympy: '1.14' };
    };
    const run = await harness.run(asked);
    expect(run.outcome).toMatchObject({ status: 'completed' });
    expect(warnings(run)).toContainEqual(
      expect.stringContaining('What the grader lab/strict runs with was changed while the run went on.'),
    );
    versions = { sympy: '1.13' };
    expect((await harness.run(asked)).eventsOf('stage.reused')).toHaveLength(0);
  });
});

describe('the versions that a trainer runs with', () => {
  let versions: Record<string, string> = {};
  let onRun: () => void = () => {};
  const plugin = definePlugin({
    name: 'lab',
    version: '1.0.0',
    apiVersion,
    stages: {
      tune: defineStage({
        description: 'Makes one row.',
        inputs: {},
        outputs: { dataset: { type: 'dataset', description: 'It.' } },
        options: z.object({ trainer: trainerName() }),
        async run(context) {
          onRun();
          return { dataset: await context.artifacts.writeDataset([{ id: 'a' }], { columns: { id: 'VARCHAR' } }) };
        },
      }),
    },
    trainers: {
      trainer: defineTrainer({
        description: 'Never started.',
        options: z.object({}),
        relevantVersions: async () => versions,
        prepare: async () => ({ argv: ['false'], env: {} }),
      }),
    },
  });
  const tuned = `
name: tuned
trainers: { student: { uses: lab/trainer } }
stages: { tuned: { uses: lab/tune, with: { trainer: student } } }
`;

  it('are in the key of what a resumed run still makes', async () => {
    await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
    versions = { torch: '2.12.0' };
    onRun = () => {
      throw new Error('no room');
    };
    const failed = await harness.run(tuned);
    expect(failed.outcome).toMatchObject({ status: 'failed' });
    onRun = () => {};
    versions = { torch: '2.13.0' };
    const resumed = await harness.resume(failed.runId);
    expect(resumed.outcome).toMatchObject({ status: 'completed' });
    expect(resumed.eventsOf('log.written').map(({ data }) => data.message)).toContain(
      'What the trainer "student" runs with has changed since the run began (torch: 2.12.0, now 2.13.0): what is left to ' +
        'do goes by what is there now.',
    );
    expect((await harness.run(tuned)).eventsOf('stage.reused')).toHaveLength(1);
    versions = { torch: '2.12.0' };
    expect((await harness.run(tuned)).eventsOf('stage.reused')).toHaveLength(0);
  });

  it('may change while a stage runs, whose outputs no other run reuses then', async () => {
    await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
    versions = { torch: '2.12.0' };
    onRun = () => {
      versions = { torch: '2.13.0' };
    };
    const run = await harness.run(tuned);
    expect(run.outcome).toMatchObject({ status: 'completed' });
    expect(run.eventsOf('log.written').map(({ data }) => data.message)).toContainEqual(
      expect.stringContaining('What the trainer "student" runs with was changed while the run went on.'),
    );
    versions = { torch: '2.12.0' };
    expect((await harness.run(tuned)).eventsOf('stage.reused')).toHaveLength(0);
  });
});
