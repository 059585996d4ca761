import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { task } from './task.stage.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const load = async (options: Readonly<Record<string, unknown>>, seed = 1) =>
  (await runStage(task, { options, recipeFolder: folder, seed })).rows('dataset');

const yaml = `name: own
file: own.jsonl
fields: { question: q, answer: a }
answerPattern: '####\\s*(.+)$'
prompt: "Solve: {question}"
`;

it('loads a task of a YAML file', async () => {
  await writeFile(join(folder, 'own.yaml'), yaml);
  await writeFile(join(folder, 'own.jsonl'), '{"q": "1+1?", "a": "one and one\\n#### 2"}\n');
  expect(await load({ file: 'own.yaml', data: 'own.jsonl' })).toMatchObject([
    { question: 'Solve: 1+1?', answer: '2', source: 'own' },
  ]);
});

it('loads questions without a gold answer where the task has none', async () => {
  const open = yaml.replace(', answer: a', '').replace(/answerPattern.*\n/, '');
  await writeFile(join(folder, 'own.yaml'), open);
  await writeFile(join(folder, 'own.jsonl'), '{"q": "Who are you?"}\n');
  const own = { file: 'own.yaml', data: 'own.jsonl' };
  const fromFile = await runStage(task, { options: own, recipeFolder: folder });
  expect(fromFile.rows('dataset')).toMatchObject([{ question: 'Solve: Who are you?', answer: null }]);
  // Nobody is meant to grade it: eval/grade would warn of any other.
  expect(fromFile.outputs.dataset?.metadata).toEqual({ task: 'own', extraction: 's1' });
  const records = memoryTable({ question: 'VARCHAR' }, [{ question: 'Who are you?' }]);
  await writeFile(join(folder, 'own.yaml'), open.replace('question: q', 'question: prompt'));
  const fromRows = await runStage(task, { options: { file: 'own.yaml' }, inputs: { records }, recipeFolder: folder });
  expect(fromRows.rows('dataset')).toMatchObject([{ question: 'Solve: Who are you?', answer: null }]);
});

it.each([
  ['question: q, wrong: [b]', '', 'fields.answer: a choice has the right one beside those that are wrong.'],
  [
    'question: q',
    'answerPattern: (.+)',
    'answerPattern: it is for the field with the gold answer: name that as `answer`',
  ],
])('refuses a task that needs the gold answer, and has none: %s', async (fields, pattern, message) => {
  await writeFile(join(folder, 'own.yaml'), `name: own\nfile: own.jsonl\nfields: { ${fields} }\n${pattern}\n`);
  const refused = load({ file: 'own.yaml', data: 'own.jsonl' });
  await expect(refused).rejects.toMatchObject({ code: 'invalid_task', message: expect.stringContaining(message) });
  await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('..') });
});

it('tells questions apart that ask the same of other choices', async () => {
  const fields = '{ question: q, answer: a, wrong: [b, c] }';
  await writeFile(join(folder, 'own.yaml'), `name: own\nfile: own.jsonl\nfields: ${fields}\ngrader: eval/choice\n`);
  const asked = (a: string, b: string, c: string) => JSON.stringify({ q: 'Which one is true?', a, b, c });
  const lines = [asked('1 = 1', '1 = 2', '1 = 3'), asked('2 = 2', '2 = 3', '2 = 4')];
  const own = { file: 'own.yaml', data: 'own.jsonl' };
  const idsOf = async (texts: readonly string[]) => {
    await writeFile(join(folder, 'own.jsonl'), texts.join('\n'));
    return (await load(own)).map(({ id }) => id);
  };
  const ids = await idsOf(lines);
  expect(new Set(ids).size).toBe(2);
  // That of the first is as if it were alone: what was made of it before is found again.
  expect(ids[0]).toBe((await idsOf(lines.slice(0, 1)))[0]);
  // Asked twice they are one, which whoever asks a model refuses.
  expect(new Set(await idsOf([...lines, lines[1] as string])).size).toBe(2);
});

it('loads numbers with all their digits', async () => {
  await writeFile(join(folder, 'own.yaml'), yaml.replace(/answerPattern.*\n/, ''));
  await writeFile(join(folder, 'own.jsonl'), '{"q": "9007199254740992+1?", "a": 9007199254740993}\n');
  expect(await load({ file: 'own.yaml', data: 'own.jsonl' })).toMatchObject([{ answer: '9007199254740993' }]);
});

it('loads a sample of it, the same whatever the seed, and says that it is one', async () => {
  await writeFile(join(folder, 'own.yaml'), yaml);
  const lines = Array.from({ length: 50 }, (_, number) =>
    JSON.stringify({ q: `${number}+1?`, a: `#### ${number + 1}` }),
  );
  await writeFile(join(folder, 'own.jsonl'), lines.join('\n'));
  const own = { file: 'own.yaml', data: 'own.jsonl' };
  const answers = async (sample: number, seed = 1) =>
    (await load({ ...own, sample }, seed)).map(({ answer }) => Number(answer));
  const ten = await answers(10);
  expect(ten).toHaveLength(10);
  expect(ten).toEqual(ten.toSorted((one, other) => one - other));
  expect(ten).not.toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(await answers(10, 2)).toEqual(ten);
  expect(await answers(20)).toEqual(expect.arrayContaining(ten));
  expect(await answers(99)).toHaveLength(50);
  const { logged } = await runStage(task, { options: { ...own, sample: 10 }, recipeFolder: folder, seed: 1 });
  expect(logged).toMatchObject([
    { level: 'warning', message: expect.stringContaining('Only 10 of the 50 problems of own') },
  ]);
});

it.each([
  ['gold_missing', '{"q": "1+1?", "a": ""}\n', {}],
  ['gold_missing', '{"q": "1+1?", "a": "2"}\n', {}],
  ['empty_dataset', '\n', {}],
  ['invalid_json', '{"q": \n', {}],
  ['invalid_json', 'null\n', {}],
  ['invalid_field', '{"q": "1+1?", "a": {"value": 2}}\n', {}],
  ['invalid_field', '{"q": "1+1?", "a": ["2"]}\n', {}],
  ['checksum_differs', '{}\n', { sha256: '0'.repeat(64) }],
])('names what is wrong with data: %s', async (code, text, more) => {
  await writeFile(join(folder, 'own.yaml'), yaml);
  await writeFile(join(folder, 'own.jsonl'), text);
  await expect(load({ file: 'own.yaml', data: 'own.jsonl', ...more })).rejects.toMatchObject({ code });
});

it('names the line of data that is not UTF-8, in place of asking what nobody wrote', async () => {
  await writeFile(join(folder, 'own.yaml'), yaml);
  const lines = '{"q": "1+1?", "a": "#### 2"}\n{"q": "Caf\u00e9?", "a": "#### 2"}\n';
  await writeFile(join(folder, 'own.jsonl'), lines, 'latin1');
  await expect(load({ file: 'own.yaml', data: 'own.jsonl' })).rejects.toMatchObject({
    code: 'not_utf8',
    message: expect.stringMatching(/own\.jsonl, line 2 is not UTF-8/),
  });
  await writeFile(join(folder, 'own.jsonl'), `\ufeff${lines}`);
  expect(await load({ file: 'own.yaml', data: 'own.jsonl' })).toMatchObject([{}, { question: 'Solve: Caf\u00e9?' }]);
});

it('is refused while a recipe is checked where its task is wrong, or nothing says which data is meant', async () => {
  const problems = async (options: object, records = 0) =>
    await task.check?.(task.options.parse(options), { recipeFolder: folder, inputs: { records } });
  await writeFile(join(folder, 'own.yaml'), yaml.replace('file: own.jsonl', ''));
  expect(await problems({ file: 'own.yaml', data: 'own.jsonl' })).toMatchObject([
    { path: 'file', code: 'invalid_task' },
  ]);
  await writeFile(join(folder, 'own.yaml'), yaml);
  expect(await problems({ file: 'own.yaml' })).toMatchObject([{ path: 'file', code: 'data_unpinned' }]);
  expect(await problems({ file: 'own.yaml' }, 1)).toEqual([]);
  expect(await problems({ file: 'own.yaml', data: 'own.jsonl' })).toEqual([]);
  expect(await problems({ task: 'aime25' })).toMatchObject([{ path: 'task', code: 'data_unpinned' }]);
  expect(await problems({ task: 'math500' })).toEqual([]);
});

it('names a file with other separators than commas, in place of a bug', async () => {
  await writeFile(join(folder, 'own.yaml'), yaml);
  await writeFile(join(folder, 'own.csv'), 'q;a\n"1+1?";2\n');
  await expect(load({ file: 'own.yaml', data: 'own.csv' })).rejects.toMatchObject({
    code: 'invalid_csv',
    hint: expect.stringContaining('curation/load'),
  });
});

it.each([
  ['name: [', 'Flow sequence'],
  ['', 'it is empty'],
  ['[]', 'expected object'],
  [yaml.replace('own.jsonl', '../own.jsonl'), 'file: it is a name in the data folder'],
  [yaml.replace('own.jsonl', '/etc/own.jsonl'), 'file: it is a name in the data folder'],
  [yaml.replace('name: own', 'grader: { uses: eval/exact }'), 'name: Invalid input.*; grader: Invalid input'],
])("says what is wrong with a task of one's own: %s", async (text, problem) => {
  await writeFile(join(folder, 'own.yaml'), text);
  await expect(load({ file: 'own.yaml', data: 'own.jsonl' })).rejects.toMatchObject({
    code: 'invalid_task',
    message: expect.stringMatching(problem),
  });
});

it('shuffles the choices of GPQA by the seed, and keeps the letter of the right one', async () => {
  const names = 'Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3';
  const lines = Array.from({ length: 20 }, (_, index) => `Question ${index},right,wrong1,wrong2,"wrong, 3"`);
  await writeFile(join(folder, 'gpqa.csv'), [names, ...lines].join('\n'));
  const options = { task: 'gpqa-diamond', data: 'gpqa.csv' };
  const rows = await load(options);
  for (const { question, answer } of rows) expect(question).toContain(`${answer}) right`);
  expect(new Set(rows.map(({ answer }) => answer)).size).toBe(4);
  expect(await load(options)).toEqual(rows);
  expect(await load(options, 2)).not.toEqual(rows);
});

it('takes the records of a dataset, too, to the same problems', async () => {
  const names = 'Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3';
  await writeFile(join(folder, 'gpqa.csv'), [names, 'Which?,right,a,b,c'].join('\n'));
  const row = { question: 'Which?', answer: 'right', wrong_1: 'a', wrong_2: 'b', wrong_3: 'c' };
  const records = memoryTable(Object.fromEntries(Object.keys(row).map((name) => [name, 'VARCHAR'])), [row]);
  const run = await runStage(task, {
    options: { task: 'gpqa-diamond' },
    inputs: { records },
    recipeFolder: folder,
    seed: 1,
  });
  expect(run.rows('dataset')).toEqual(await load({ task: 'gpqa-diamond', data: 'gpqa.csv' }));
});
