import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';

const recipe = `
name: handed-on
stages:
  test: { uses: curation/load, with: { sources: { test: { path: test.jsonl } } } }
  pool:
    uses: curation/load
    with: { sources: { mine: { path: pool.jsonl } }, required: [question, answer], missing: drop }
  sound:
    uses: curation/quality
    with: { dataset: "\${{ stages.pool.dataset }}", drop: [{ rule: todo, pattern: ^TODO }] }
  unique: { uses: curation/deduplicate, with: { dataset: "\${{ stages.sound.dataset }}" } }
  clean:
    uses: curation/decontaminate
    with: { dataset: "\${{ stages.unique.dataset }}", against: ["\${{ stages.test.dataset }}"] }
`;
const known = 'Tom has three boxes with four pears in each of them.';

it('makes JSONL of a dataset and of all that was dropped, as docs/recipes.md says', async () => {
  await using harness = await RunHarness.create({ plugins: [], withBuiltIn: true });
  const write = (name: string, rows: readonly object[]) =>
    writeFile(join(harness.recipeFolder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  await write('test.jsonl', [{ question: known }]);
  await write('pool.jsonl', [
    { question: 'TODO', answer: '?' },
    { question: 'What is two?', answer: '2' },
    { question: 'What is one?' },
    { question: 'What is two?', answer: '2.0' },
    { question: `${known} How many?`, answer: '12' },
    { question: 'What is ten?', answer: '10' },
  ]);
  const run = await harness.run(recipe);
  expect(run.outcome.status).toBe('completed');

  const docs = await readFile(new URL('../../docs/recipes.md', import.meta.url), 'utf8');
  const sql = /```sql\n([\s\S]*?)```/.exec(docs)?.[1] ?? '';
  const out = join(harness.recipeFolder, 'out');
  await mkdir(out);
  const artifacts = join(run.runFolder, 'artifacts');
  const duckdb = await (await DuckDBInstance.create(':memory:')).connect();
  await duckdb.run(sql.replace(/'(\w+\.\w+\/data\.parquet)'/g, `'${artifacts}/$1'`).replace(/TO '/g, `TO '${out}/`));
  duckdb.closeSync();

  const lines = async (name: string) =>
    (await readFile(join(out, name), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
  expect((await lines('clean.jsonl')).map(({ question }) => question)).toEqual(['What is two?', 'What is ten?']);
  const dropped = await lines('dropped.jsonl');
  expect(dropped.map(({ stage, rule, answer }) => [stage, rule, answer]).sort()).toEqual([
    ['clean', 'in_evaluation', '12'],
    ['pool', 'no_answer', null],
    ['sound', 'todo', '?'],
    ['unique', 'duplicate', '2.0'],
  ]);
  expect(dropped.find(({ stage }) => stage === 'pool')?.evidence).toBe('mine: pool.jsonl:3');
});
