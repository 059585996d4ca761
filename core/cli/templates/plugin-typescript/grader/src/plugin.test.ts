import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunHarness } from 'simmerkit/testing';
import plugin from './plugin.js';

test('it takes in a recipe what is close for right, and nothing that is no number', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
  await copyFile(new URL('../answers.jsonl', import.meta.url), join(harness.recipeFolder, 'answers.jsonl'));
  const run = await harness.run(`
name: trial
stages:
  answers: { uses: curation/load, with: { sources: { measured: { path: answers.jsonl, fields: { gold: gold } } } } }
  graded:
    uses: curation/verify
    with:
      dataset: "\${{ stages.answers.dataset }}"
      wrong: drop
      grader: { uses: new-plugin/close-enough, with: { tolerance: 0.01 } }
`);
  assert.equal(run.outcome.status, 'completed');
  assert.deepEqual(
    (await run.rows('graded.dataset')).map(({ answer }) => answer),
    ['8850'],
  );
});
