import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';

const recipe = `
name: changed
seed: 1
stages:
  pool:
    uses: curation/load
    with: { sources: { mine: { path: pool.jsonl } } }
  sides:
    uses: curation/split
    with: { dataset: "\${{ stages.pool.dataset }}", heldout: 1 }
`;

it('data that is mended before a run goes on counts as what it is then, also for later runs', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const file = join(harness.recipeFolder, 'pool.jsonl');
  const broken = '{"question":"a"}\n{"question":';
  await writeFile(file, broken);
  const failed = await harness.run(recipe);
  expect(failed.outcome).toMatchObject({ status: 'failed', error: { code: 'malformed_data' } });
  await writeFile(file, '{"question":"a"}\n');
  const short = await harness.resume(failed.runId);
  expect(short.outcome).toMatchObject({ status: 'failed', error: { code: 'too_few_rows' } });
  const said = short.eventsOf('log.written').map(({ data }) => data.message);
  const change = 'pool.jsonl has changed since the run began: what is left to do goes by what is there now.';
  expect(said.filter((message) => message === change)).toHaveLength(1);

  // What is done stays done, and is what this data is.
  await writeFile(file, '{"question":"a"}\n{"question":"b"}\n');
  const again = await harness.resume(failed.runId);
  expect(again.outcome).toMatchObject({ status: 'failed', error: { code: 'too_few_rows' } });
  await writeFile(file, broken);
  expect((await harness.run(recipe)).outcome).toMatchObject({ status: 'failed', error: { code: 'malformed_data' } });
  await writeFile(file, '{"question":"a"}\n');
  expect((await harness.run(recipe)).eventsOf('stage.reused').map(({ stage }) => stage)).toEqual(['pool']);
});
