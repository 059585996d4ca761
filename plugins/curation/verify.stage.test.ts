import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Grader } from 'simmerkit';
import { memoryTable, runStage } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { verify } from './verify.stage.js';

const rows = [
  { id: 'a', answer: '4', gold: '4' },
  { id: 'b', answer: '5', gold: '4' },
  { id: 'a', answer: ' ', gold: '4' },
  { id: 'c', answer: '4', gold: null },
];
const dataset = memoryTable({ id: 'VARCHAR', answer: 'VARCHAR', gold: 'VARCHAR' }, rows);
let graded = 0;
const grader: Grader = {
  grade: async (items) => {
    graded += items.length;
    return items.map(({ id, gold, answer }) => ({
      id,
      verdict: gold === answer ? 'right' : 'wrong',
      parsedAnswer: answer,
      parsedGold: gold,
      explanation: `${answer} and ${gold}`,
    }));
  },
};

it('curation/verify says of each row whether its answer is right, and drops what is not where asked', async () => {
  const { rows: of, events, logged } = await runStage(verify, { inputs: { dataset }, grader });
  expect(logged).toEqual([{ level: 'info', message: '1 of 3 answers is right.' }]);
  expect(events.find(({ type }) => type === 'metric.measured')?.data).toMatchObject({
    name: 'right',
    count: 3,
    value: 1 / 3,
  });
  expect(of('dataset')).toEqual(rows.map((row, at) => ({ ...row, right: [true, false, false, null][at] })));
  const dropped = await runStage(verify, { options: { wrong: 'drop', ungraded: 'drop' }, inputs: { dataset }, grader });
  expect(dropped.rows('dataset')).toEqual([{ ...rows[0], right: true }]);
  expect(dropped.rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
    ['right', '4: 4 and 4'],
    ['wrong', '5: 5 and 4'],
    ['wrong', 'there is no answer'],
    ['no_gold', null],
  ]);
});

it('curation/verify says of a wrong row that the grader could not read it, and nothing of what it left out', async () => {
  const verdicts = ['unparsed', 'wrong'] as const;
  const terse: Grader = {
    grade: async (items) =>
      items.map(({ id }, at) => ({
        ...{ id, verdict: verdicts[at]!, parsedAnswer: '', parsedGold: '' },
        explanation: 'One is no number.',
      })),
  };
  const { rows: of } = await runStage(verify, { inputs: { dataset }, grader: terse });
  expect(of('decisions').slice(0, 2)).toMatchObject([
    { rule: 'wrong', evidence: 'unparsed: One is no number.' },
    { rule: 'wrong', evidence: 'One is no number.' },
  ]);
});

it('curation/verify grades nothing twice but what it cannot read any more, and says so', async () => {
  const scratchFolder = await temporaryFolder();
  graded = 0;
  const first = await runStage(verify, { inputs: { dataset }, grader, scratchFolder });
  const again = await runStage(verify, { inputs: { dataset }, grader, scratchFolder });
  expect(graded).toBe(2);
  expect(again.rows('dataset')).toEqual(first.rows('dataset'));
  const file = join(scratchFolder, 'grades', 'replies.jsonl');
  await writeFile(file, (await readFile(file, 'utf8')).replace('"id"', '\0id"'));
  const mended = await runStage(verify, { inputs: { dataset }, grader, scratchFolder });
  expect(graded).toBe(3);
  expect(mended.rows('dataset')).toEqual(first.rows('dataset'));
  expect(mended.logged[0]?.message).toContain(`${file} is damaged: 1 of its lines cannot be read`);
});

it.each([
  ['VARCHAR', '2 + 2', { question: '2 + 2' }],
  ['VARCHAR', ' ', {}],
  ['VARCHAR[]', ['2', '2'], {}],
])('curation/verify tells the grader a question that is %s %j as %j', async (type, question, told) => {
  const asked = memoryTable({ ...dataset.columns, question: type }, [{ ...rows[0], question }]);
  const items: unknown[] = [];
  const noting: Grader = {
    grade: (given) => {
      items.push(...given);
      return grader.grade(given);
    },
  };
  await runStage(verify, { inputs: { dataset: asked }, grader: noting });
  expect(items).toEqual([{ id: '0', gold: '4', answer: '4', ...told }]);
});

it('curation/verify grades rows without a right answer where the grader needs none', async () => {
  const brief: Grader = {
    needsGold: false,
    grade: async (items) =>
      items.map(({ id, answer }) => ({
        ...{ id, verdict: answer.length < 4 ? 'right' : 'wrong', explanation: 'by its length' },
        ...{ parsedAnswer: answer, parsedGold: '' },
      })),
  };
  const columns = { id: 'VARCHAR', answer: 'VARCHAR' };
  const given = ['Yes', 'It depends'].map((answer, at) => ({ id: String(at), answer }));
  for (const gold of [{}, { gold: 'VARCHAR' }]) {
    const open = memoryTable({ ...columns, ...gold }, given);
    const { rows: of, logged } = await runStage(verify, { inputs: { dataset: open }, grader: brief });
    expect(of('dataset').map(({ right }) => right)).toEqual([true, false]);
    expect(logged).toEqual([{ level: 'info', message: '1 of 2 answers is right.' }]);
  }
  const unnamed = runStage(verify, { inputs: { dataset: memoryTable(columns, given) }, grader });
  await expect(unnamed).rejects.toMatchObject({ code: 'missing_column' });
  // Before an environment is made for the grader: none is given here.
  const misspelt = runStage(verify, { options: { goldColumn: 'glod' }, inputs: { dataset } });
  await expect(misspelt).rejects.toMatchObject({ code: 'missing_column', message: expect.stringContaining('`glod`') });
});
