import type { RunHarness } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { estimatePlan } from '../../../core/engine/estimate-plan.js';
import { failureOf, harnessWith } from './fixture-harness.js';
import { type Misbehavior, whereItHangs } from './fixture-misbehaviors.js';

const harnessOf = harnessWith();

const greet = (options = '') => `name: g\nstages: { greet: { uses: fixture/greet, with: { ${options} } } }`;
const two = `
name: two
stages:
  one: { uses: fixture/greet, with: { rows: 5000 } }
  two: { uses: fixture/greet, with: { rows: 6000 } }
`;

const graded = `
name: graded
stages:
  sums: { uses: curation/generate-problems, with: { count: 8 } }
  graded: { uses: curation/verify, with: { dataset: "\${{ stages.sums.dataset }}", grader: { uses: fixture/equal } } }
`;

async function forecasts(harness: RunHarness, recipe: string) {
  const plan = await harness.plan(recipe);
  return estimatePlan(plan, harness.catalog, await ArtifactStore.open(harness.home), harness.settings);
}

describe('planning with a plugin that is a process', () => {
  it('tells what its check finds, with the place in the recipe', async () => {
    await using harness = await harnessOf('none');
    const failure = await failureOf(harness.plan(greet('rows: 5000')));
    expect(failure).toMatchObject({
      code: 'invalid_recipe',
      problems: [
        {
          code: 'too_many_rows',
          message: expect.stringMatching(/^Process \d+ greets 1000 at most\.$/),
          hint: 'Ask for fewer.',
          position: { line: 2 },
        },
      ],
    });
  });

  it('asks one process for all stages, and ends it', async () => {
    await using harness = await harnessOf('none');
    const told = (await failureOf(harness.plan(two))) as { readonly problems: readonly { readonly message: string }[] };
    const pids = told.problems.map(({ message }) => Number(message.split(' ')[1]));
    expect(pids).toEqual([pids[0], pids[0]]);
    expect(() => process.kill(pids[0]!, 0)).toThrow('ESRCH');
  });

  it('asks another process for another planning', async () => {
    await using harness = await harnessOf('none');
    const message = async () => {
      const failure = await failureOf(harness.plan(greet('rows: 5000')));
      return (failure as { readonly problems: readonly { readonly message: string }[] }).problems[0]?.message;
    };
    expect(await message()).not.toBe(await message());
  });

  it('gives a stage the resources that it wants with its options', async () => {
    await using harness = await harnessOf('none');
    const { stages } = await harness.plan(greet('threads: 2'));
    expect(stages[0]?.resources).toEqual({ cpus: 2, memoryBytes: 2 ** 20 });
  });

  it('says what a stage will take, and hands on what its outputs will be like', async () => {
    await using harness = await harnessOf('none');
    const [forecast] = await forecasts(harness, greet('rows: 8'));
    const time = [{ part: 'greeting', seconds: 4 }];
    const work = { seconds: 4, time, isAtMost: true, figures: { greetings: 8 } };
    expect(forecast).toMatchObject({ stage: 'greet', ...work, notes: ['It knows null of its input.'] });
    const { definition } = await harness.catalog.stage('fixture/greet');
    const context = {
      inputs: { dataset: { rows: 3 } },
      recipeFolder: '.',
      cacheFolder: '.',
      trainer: () => async () => ({}),
      grader: async () => undefined,
      kept: async () => ({ others: [] }),
    };
    expect(await definition.estimate?.({ rows: 8, usd: 0.5 }, context)).toEqual({
      ...work,
      usd: 0.5,
      notes: ['It knows [{"rows":3}] of its input.'],
      outputs: { greetings: { greeted: 8 } },
    });
  });

  it('says what grading will take by its grader', async () => {
    await using harness = await harnessOf('none');
    expect((await forecasts(harness, graded))[1]).toMatchObject({ stage: 'graded', seconds: 8, usd: 0.08 });
    const { definition } = await harness.catalog.grader('fixture/equal');
    expect(await definition.estimate?.(undefined, {})).toBeUndefined();
  });

  it('asks nothing that the plugin does not declare', async () => {
    await using harness = await harnessOf('plans-nothing');
    const [forecast] = await forecasts(harness, greet('rows: 5000, threads: 2'));
    expect(forecast).toEqual({ stage: 'greet', isDone: false });
    expect((await forecasts(harness, graded))[1]).toEqual({ stage: 'graded', isDone: false });
  });
});

describe('a plugin that breaks while a recipe is planned', () => {
  it.each<readonly [Misbehavior, string, RegExp]>([
    [
      'check-crash',
      'plugin_exited',
      /^The check of fixture\/greet failed: .*exit code 7\.\n {2}the check went terribly/,
    ],
    [
      'check-hang',
      'plugin_hung',
      /^The check of fixture\/greet failed: Plugin fixture \(listed as .+\) has not answered for 1 seconds; it was killed/,
    ],
    ['check-refuse', 'plugin_refused', /^The check of fixture\/greet failed: CheckStage: my disk is gone/],
    ['check-rubbish', 'plugin_broke_contract', /^The check of fixture\/greet failed: .*"Too Many!", not snake_case/],
    ['resources-crash', 'plugin_exited', /^The resources of fixture\/greet failed: .*exit code 8/],
  ])('(%s) is one error, %s, that names the plugin and what was asked', async (misbehavior, code, message) => {
    await using harness = await harnessOf(misbehavior, whereItHangs(misbehavior, { answerSeconds: 1 }));
    const failure = await failureOf(harness.plan(greet()));
    expect(failure).toMatchObject({ code, kind: 'usage', message: expect.stringMatching(message) });
    expect((failure as Error & { readonly hint: string }).hint).toMatch(/mistake in the plugin|answerSeconds/);
  });

  it.each<readonly [Misbehavior, string, RegExp]>([
    ['estimate-rubbish', greet(), /^The estimate of fixture\/greet failed: The plugin estimated seconds as NaN/],
    [
      'estimate-undeclared',
      greet(),
      /^The estimate of fixture\/greet failed: .*the output "farewells", which it does not declare/,
    ],
    ['grader-estimate-rubbish', graded, /^The estimate of fixture\/equal failed: The plugin estimated seconds as -1/],
  ])('(%s) gives no forecast', async (misbehavior, recipe, message) => {
    await using harness = await harnessOf(misbehavior);
    const failure = await failureOf(forecasts(harness, recipe));
    expect(failure).toMatchObject({ code: 'plugin_broke_contract', message: expect.stringMatching(message) });
  });
});
