import { readFile } from 'node:fs/promises';
import { definePlugin } from 'simmerkit';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import budgetForcing from '../../plugins/budget-forcing/plugin.js';
import curation from '../../plugins/curation/plugin.js';
import type { ComparisonReport } from '../../plugins/eval/comparison.js';
import evaluation from '../../plugins/eval/plugin.js';
import launchers from '../../plugins/launchers/plugin.js';
import sft from '../../plugins/sft/plugin.js';
import { trainingStages } from './training-stages.js';

const models = definePlugin({
  name: 'models',
  version: '1.0.0',
  apiVersion: 1,
  stages: { base: trainingStages(0).model },
});

const recipe = `
name: stages
seed: 7
trainers: { student: { uses: fake-trainer/fake } }
stages:
  base: { uses: models/base }
  pool: { uses: curation/generate-problems, with: { count: 120 } }
  clean: { uses: curation/quality, with: { dataset: "\${{ stages.pool.dataset }}" } }
  unique: { uses: curation/deduplicate, with: { dataset: "\${{ stages.clean.dataset }}" } }
  sides: { uses: curation/split, with: { dataset: "\${{ stages.unique.dataset }}", heldout: 20 } }
  apart:
    uses: curation/decontaminate
    with: { dataset: "\${{ stages.sides.train }}", against: ["\${{ stages.sides.heldout }}"] }
  chosen: { uses: curation/select, with: { dataset: "\${{ stages.apart.dataset }}", count: 30 } }
  text: { uses: curation/format, with: { dataset: "\${{ stages.chosen.dataset }}" } }
  tuned:
    uses: sft/train
    with: { trainer: student, model: "\${{ stages.base.model }}", dataset: "\${{ stages.text.dataset }}", epochs: 1 }
  before:
    uses: budget-forcing/generate
    with:
      trainer: student
      model: "\${{ stages.base.model }}"
      dataset: "\${{ stages.sides.heldout }}"
      label: untuned
      sweep: { thinkingTokens: [16, 64], ignore: [0, 1] }
  after:
    uses: budget-forcing/generate
    with:
      trainer: student
      model: "\${{ stages.tuned.model }}"
      dataset: "\${{ stages.sides.heldout }}"
      label: tuned
      sweep: { thinkingTokens: [16, 64], ignore: [0, 1] }
  before_graded:
    uses: eval/grade
    with: { generations: "\${{ stages.before.generations }}", dataset: "\${{ stages.sides.heldout }}" }
  after_graded:
    uses: eval/grade
    with: { generations: "\${{ stages.after.generations }}", dataset: "\${{ stages.sides.heldout }}" }
  verdict:
    uses: eval/compare
    with: { untuned: ["\${{ stages.before_graded.graded }}"], tuned: ["\${{ stages.after_graded.graded }}"] }
`;

describe('curation, fine-tuning, budget forcing and evaluation on the real engine and store', () => {
  let harness: RunHarness;
  beforeAll(async () => {
    const plugins = [models, curation, sft, budgetForcing, evaluation, launchers, fakeTrainerPlugin];
    harness = await RunHarness.create({ plugins });
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  it('runs from problems to a verdict, and a second time from the cache', async () => {
    const run = await harness.run(recipe);
    expect(run.outcome).toEqual(expect.objectContaining({ status: 'completed' }));

    const funnel = run
      .eventsOf('funnel.counted')
      .map((event) => [event.data.step, event.data.rowsIn, event.data.rowsOut]);
    expect(funnel.map(([step]) => step)).toEqual(['pool', 'clean', 'unique', 'sides', 'apart', 'chosen', 'text']);
    for (const [index, [, rowsIn]] of funnel.entries()) if (index > 0) expect(rowsIn).toBe(funnel[index - 1]?.[2]);
    expect(funnel.at(-1)).toEqual(['text', 30, 30]);

    const generations = await run.rows('after.generations');
    expect(generations).toHaveLength(20 * 3);
    const forced = generations.filter((row) => row.thinking_end === 'forced');
    for (const row of forced) {
      const interventions = row.interventions as readonly { readonly kind: string }[];
      expect(interventions.at(-1)?.kind).toBe('ended');
    }
    expect(generations.map((row) => (row.thinking_token_ids as readonly number[]).length)).toEqual(
      generations.map((row) => row.thinking_tokens),
    );

    const graded = await run.rows('after_graded.graded');
    expect(graded.map((row) => row.id)).toEqual(generations.map((row) => row.id));

    const report = JSON.parse(await readReport(await run.artifact('verdict.report'))) as ComparisonReport;
    expect(report.runs).toHaveLength(6);
    const measured = new Set(run.eventsOf('metric.measured').map((event) => event.data.name));
    for (const one of report.differences) expect(measured).toContain(one.name);
    for (const one of report.runs) expect(measured).toContain(`${one.model}.accuracy@${one.policy}`);

    const again = await harness.run(recipe);
    expect(again.eventsOf('stage.started')).toEqual([]);
    expect(again.outcome).toMatchObject({
      status: 'completed',
      metrics: run.outcome.status === 'completed' && run.outcome.metrics,
    });
  });
});

async function readReport(artifact: { path(file: string): string }): Promise<string> {
  return await readFile(artifact.path('report.json'), 'utf8');
}
