import picocolors from 'picocolors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { diffLines } from '../../cli/commands/eval-diff.js';
import { definePlugin, defineStage } from '../../plugin/define.js';
import { RunHarness } from '../../testing/run-harness.js';
import { diffEvaluations } from './eval-diff.js';

const columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  sample_index: 'INTEGER',
  gold: 'VARCHAR',
  extracted: 'VARCHAR',
  verdict: 'VARCHAR',
};

/** Grades as a third party's stage may: what it is told, by prompt. */
const plugin = definePlugin({
  name: 'test',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    graded: defineStage({
      description: '',
      options: z.strictObject({ model: z.string(), verdicts: z.record(z.string(), z.string()) }),
      inputs: {},
      outputs: { graded: { type: 'dataset', description: '' } },
      run: async ({ artifacts, options: { model, verdicts } }) => {
        const rows = Object.entries(verdicts).map(([prompt, verdict]) => ({
          id: `${prompt}/max64/0`,
          prompt_id: prompt,
          model,
          policy: 'max64',
          sample_index: 0,
          gold: '4',
          extracted: verdict === 'unparsed' ? null : verdict === 'right' ? '4' : '5',
          verdict,
        }));
        return { graded: await artifacts.writeDataset(rows, { columns }) };
      },
    }),
    nothing: defineStage({
      description: '',
      options: z.strictObject({}),
      inputs: {},
      outputs: { report: { type: 'report', description: '' } },
      run: async ({ artifacts }) => ({ report: await artifacts.writeReport({}) }),
    }),
  },
});

const recipe = (model: string, verdicts: Record<string, string>) =>
  JSON.stringify({ name: 'graded', stages: { graded: { uses: 'test/graded', with: { model, verdicts } } } });

let harness: RunHarness;
let store: ArtifactStore;
const runs: Record<'first' | 'second' | 'other' | 'empty' | 'both', { runId: string; runFolder: string }> =
  Object.create(null);
beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [plugin] });
  const run = async (text: string) => {
    const { runId } = await harness.run(text);
    return harness.manager.find(runId);
  };
  runs.first = await run(recipe('tuned', { a: 'right', b: 'wrong', c: 'right', d: 'unparsed', gone: 'right' }));
  runs.second = await run(recipe('tuned', { a: 'right', b: 'right', c: 'wrong', d: 'wrong', come: 'right' }));
  runs.other = await run(recipe('another', { a: 'right' }));
  runs.empty = await run(JSON.stringify({ name: 'empty', stages: { nothing: { uses: 'test/nothing' } } }));
  const graded = (verdicts: object) => ({ uses: 'test/graded', with: { model: 'tuned', verdicts } });
  const both = { easy: graded({ a: 'right', b: 'right' }), hard: graded({ a: 'wrong', x: 'wrong' }) };
  runs.both = await run(JSON.stringify({ name: 'both', stages: both }));
  store = await ArtifactStore.open(harness.home);
});
afterAll(() => harness[Symbol.asyncDispose]());

describe('the evaluations of two runs', () => {
  it('differ in the items whose verdict changed', async () => {
    const [point, ...others] = await diffEvaluations(runs.first, runs.second, store);
    expect(others).toEqual([]);
    expect(point).toMatchObject({ model: 'tuned', policy: 'max64', items: 4, onlyBefore: 1, onlyAfter: 1 });
    expect(point).toMatchObject({ rightToWrong: 1, wrongToRight: 1 });
    expect(point!.changed.map(({ promptId, before, after }) => [promptId, before.verdict, after.verdict])).toEqual([
      ['c', 'right', 'wrong'],
      ['b', 'wrong', 'right'],
      ['d', 'unparsed', 'wrong'],
    ]);
    expect(diffLines([point!], 2, picocolors.createColors(false))).toEqual([
      'tuned at max64: of 4 items 1 became right, 1 became wrong; 1 only in the first run, 1 only in the second',
      '  c  right  →  wrong  4 → 5',
      '  b  wrong  →  right  5 → 4',
      '  … and 1 more: --items 3',
    ]);
  });

  it('do not differ from themselves', async () => {
    expect(await diffEvaluations(runs.first, runs.first, store)).toMatchObject([{ items: 5, changed: [] }]);
  });

  it('are told by stage where several graded the same', async () => {
    const points = await diffEvaluations(runs.both, runs.both, store);
    expect(points.map(({ stage, items }) => [stage, items])).toEqual([
      ['easy', 2],
      ['hard', 2],
    ]);
    expect(diffLines(points, 2, picocolors.createColors(false))).toContain(
      'tuned at max64 in hard: of 2 items 0 became right, 0 became wrong',
    );
    await expect(diffEvaluations(runs.first, runs.both, store)).rejects.toMatchObject({ code: 'nothing_in_common' });
  });

  it('of other models, or of a run that graded nothing, are refused', async () => {
    await expect(diffEvaluations(runs.first, runs.other, store)).rejects.toMatchObject({
      code: 'nothing_in_common',
      message: expect.stringContaining('tuned at max64 against another at max64'),
    });
    await expect(diffEvaluations(runs.first, runs.empty, store)).rejects.toMatchObject({ code: 'nothing_graded' });
  });
});
