import { describe, expect, it } from 'vitest';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { calibrations } from '../../../core/engine/calibrations.js';
import { estimatePlan } from '../../../core/engine/estimate-plan.js';
import { fakeTrainerProgram } from '../../../core/testing/fake-trainer-plugin.js';
import { asking } from './asking-plugin.js';
import { failureOf, harnessWith } from './fixture-harness.js';
import { type Misbehavior, whereItHangs } from './fixture-misbehaviors.js';

const harnessOf = harnessWith(asking);

const recipe = (threads = 1) => `
name: trained
trainers: { student: { uses: fixture/program, with: { program: ${fakeTrainerProgram()}, threads: ${threads} } } }
stages: { ask: { uses: asking/ask, with: { trainer: student } } }
`;

describe('a trainer of a plugin that is a process', () => {
  it('is planned with the versions and the resources that the plugin names', async () => {
    await using harness = await harnessOf('none');
    const { trainers } = await harness.plan(recipe(2));
    expect(trainers.student).toMatchObject({
      relevantVersions: { program: `${fakeTrainerProgram()} 1.0` },
      resources: { cpus: 2, nodes: 1 },
    });
  });

  it('estimates the work of stages', async () => {
    await using harness = await harnessOf('none');
    const store = await ArtifactStore.open(harness.home);
    const [forecast] = await estimatePlan(await harness.plan(recipe()), harness.catalog, store, harness.settings);
    expect(forecast).toMatchObject({ seconds: 16, notes: ['on 1 nodes with 0 GPUs'] });
  });

  it('holds its estimates against published runs', async () => {
    await using harness = await harnessOf('none');
    const found = await calibrations(harness.catalog);
    expect(found.find(({ trainer }) => trainer === 'fixture/program')?.runs.map(({ role }) => role)).toEqual([
      'fit',
      'held out',
    ]);
  });

  it('is prepared by the plugin, started by a launcher, and asked by stages', async () => {
    await using harness = await harnessOf('none');
    const run = await harness.run(recipe());
    expect(run.outcome).toMatchObject({ status: 'completed' });
    expect(run.eventsOf('stage.progressed').map(({ data }) => data.unit)).toContain('environments');
    expect(run.eventsOf('trainer.started')).toHaveLength(1);
  });
});

describe('a trainer of a process that breaks', () => {
  it.each<readonly [Misbehavior, string, RegExp]>([
    ['versions-crash', 'plugin_exited', /Reading the versions of fixture\/program failed: .*exit code 14/],
    ['trainer-estimate-rubbish', 'plugin_broke_contract', /The estimate of fixture\/program failed: .*seconds as -1/],
  ])('(%s) while it is planned is one error, %s, that names it', async (misbehavior, code, message) => {
    await using harness = await harnessOf(misbehavior);
    const store = await ArtifactStore.open(harness.home);
    const plan = async () => estimatePlan(await harness.plan(recipe()), harness.catalog, store, harness.settings);
    const failure = (await failureOf(plan())) as { readonly code: string; readonly problems?: readonly unknown[] };
    expect([failure, ...(failure.problems ?? [])]).toContainEqual(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it.each<readonly [Misbehavior, string, RegExp]>([
    ['prepare-crash', 'plugin_exited', /exit code 15/],
    ['prepare-hang', 'plugin_timed_out', /took longer than its limit of 1 seconds/],
    ['prepare-refuse', 'plugin_refused', /no disk left/],
    ['prepare-nothing', 'plugin_broke_contract', /without a command that starts it/],
    ['prepare-nowhere', 'plugin_broke_contract', /in somewhere, which is not absolute/],
  ])(
    '(%s) while it is prepared fails the stage with one error, %s, that names it',
    async (misbehavior, code, message) => {
      await using harness = await harnessOf(misbehavior, whereItHangs(misbehavior, { stageSeconds: 1 }));
      const run = await harness.run(recipe());
      expect(run.outcome).toMatchObject({
        status: 'failed',
        stage: 'ask',
        error: { code, message: expect.stringMatching(message) },
      });
      const { message: said = '' } = run.outcome.status === 'failed' ? run.outcome.error : {};
      expect(said).toContain('The preparation of fixture/program failed: ');
    },
    300_000,
  );
});
