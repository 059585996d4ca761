// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are written like that
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { definePlugin, defineStage, input, z } from '../../core/index.js';
import { RunHarness } from '../../core/testing/run-harness.js';

/** Makes a table of which it does not say anything before. */
const silent = definePlugin({
  name: 'silent',
  version: '1.0.0',
  apiVersion: 1,
  stages: {
    rows: defineStage({
      description: 'Passes rows on.',
      options: z.object({}),
      inputs: { dataset: input('dataset', 'Rows.') },
      outputs: { dataset: { type: 'dataset', description: 'The same rows.' } },
      run: async ({ inputs, artifacts }) => ({ dataset: await artifacts.deriveDataset(inputs.dataset, {}) }),
    }),
  },
});

let harness: RunHarness;

beforeAll(async () => {
  harness = await RunHarness.create({ plugins: [silent], withBuiltIn: true });
  await writeFile(
    join(harness.recipeFolder, 'rows.jsonl'),
    JSON.stringify({ question: 'What is 1 + 1?', answer: '2' }),
  );
});

afterAll(() => harness[Symbol.asyncDispose]());

const recipe = (stages: string) => `
name: columns
trainers: { student: { uses: torch-trainer/torch } }
stages:
  problems: { uses: curation/generate-problems, with: { count: 8 } }
  base: { uses: torch-trainer/base-model, with: { trainer: student, source: { random: { config: { model_type: llama, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 8, vocab_size: 64 } } } } }
${stages}`;

const split = 'sides: { uses: curation/split, with: { dataset: "${{ stages.problems.dataset }}", heldout: 4 } }';
const answers =
  'answers: { uses: budget-forcing/generate, with: { trainer: student, model: "${{ stages.base.model }}", dataset: "${{ stages.sides.heldout }}", sweep: { thinkingTokens: [16] } } }';

test.each([
  [
    'a column of the gold answer, behind a split, before a model answers',
    `  ${split}\n  ${answers}
  graded: { uses: eval/grade, with: { generations: "\${{ stages.answers.generations }}", dataset: "\${{ stages.sides.heldout }}", goldColumn: anwser } }`,
    { path: 'stages.graded.with.goldColumn', hint: expect.stringContaining('Did you mean `answer`?') },
  ],
  [
    'what a model is asked for, among several tables',
    `  mixed: { uses: curation/mix, with: { datasets: ["\${{ stages.problems.dataset }}"] } }
  distilled: { uses: curation/distill, with: { dataset: "\${{ stages.mixed.dataset }}", column: problem, url: "http://127.0.0.1:1/v1", model: m } }`,
    { path: 'stages.distilled.with.column' },
  ],
  [
    'what a selection weighs, inside of a list',
    `  chosen: { uses: curation/select, with: { method: longest, count: 2, lengthColumn: steps, dataset: "\${{ stages.problems.dataset }}", preselect: [{ equals: { level: hard } }] } }`,
    { path: 'stages.chosen.with.preselect[0].equals.level' },
  ],
  [
    'what is trained on, where nothing names it',
    `  tuned: { uses: sft/train, with: { trainer: student, model: "\${{ stages.base.model }}", dataset: "\${{ stages.problems.dataset }}" } }`,
    { path: 'stages.tuned.with.dataset' },
  ],
  [
    'a column that no source of a load is mapped to',
    `  loaded: { uses: curation/load, with: { sources: { own: { path: rows.jsonl, fields: { solution: answer } } } } }
  counted: { uses: curation/tokens, with: { model: "\${{ stages.base.model }}", dataset: "\${{ stages.loaded.dataset }}", column: solutions } }`,
    { path: 'stages.counted.with.column', hint: expect.stringContaining('Did you mean `solution`?') },
  ],
])('refuses a recipe whose data will lack %s', async (_, stages, problem) => {
  await expect(harness.plan(recipe(stages))).rejects.toMatchObject({
    problems: [{ code: 'missing_column', ...problem }],
  });
});

test('takes a column that a stage adds, and says nothing of a table of which nothing is known', async () => {
  const plan = await harness.plan(
    recipe(`  domains: { uses: curation/classify, with: { dataset: "\${{ stages.problems.dataset }}", fromColumn: source } }
  chosen: { uses: curation/select, with: { method: diverse, count: 2, domainColumn: domain_code, dataset: "\${{ stages.domains.dataset }}" } }
  passed: { uses: silent/rows, with: { dataset: "\${{ stages.problems.dataset }}" } }
  unknown: { uses: curation/deduplicate, with: { dataset: "\${{ stages.passed.dataset }}", column: anything } }`),
  );
  expect(plan.stages).toHaveLength(6);
});

test('refuses the table that turns out to lack a column, before the stage runs', async () => {
  const { outcome } = await harness.run(
    `name: late
stages:
  problems: { uses: curation/generate-problems, with: { count: 8 } }
  passed: { uses: silent/rows, with: { dataset: "\${{ stages.problems.dataset }}" } }
  unknown: { uses: curation/deduplicate, with: { dataset: "\${{ stages.passed.dataset }}", column: anything } }`,
  );
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { code: 'missing_column', message: expect.stringContaining('The dataset has no column `anything`') },
  });
});
