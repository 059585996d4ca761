import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryTable, RunHarness, runStage } from 'simmerkit/testing';
import { keepShort } from './keep-short.stage.js';
import plugin from './plugin.js';

test('it keeps the short questions and counts the others', async () => {
  const dataset = memoryTable({ id: 'VARCHAR', question: 'VARCHAR' }, [
    { id: '1', question: 'What is 2 + 2?' },
    { id: '2', question: 'A train leaves at nine, and nobody knows where it goes.' },
  ]);
  const { rows, events } = await runStage(keepShort, { options: { words: 6 }, inputs: { dataset } });
  assert.deepEqual(
    rows('dataset').map(({ id }) => id),
    ['1'],
  );
  assert.deepEqual(events[0]?.data, { step: 'keep-short', rowsIn: 2, rowsOut: 1, dropped: { too_long: 1 } });
});

test('it runs in a recipe', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
  const run = await harness.run(`
name: trial
stages:
  problems: { uses: curation/generate-problems, with: { count: 20 } }
  short: { uses: new-plugin/keep-short, with: { dataset: "\${{ stages.problems.dataset }}", words: 30 } }
`);
  assert.equal(run.outcome.status, 'completed');
  assert.ok((await run.rows('short.dataset')).length <= 20);
});
