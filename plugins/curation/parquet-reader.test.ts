import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { loadFolder, type Options, questions } from './load.fixture.js';

const { inside, loadWith, parquetFile } = loadFolder();

const loadPath = (path: string, fields: Options = {}) => loadWith({ sources: { pool: { path, fields } } });

it.each(['question=other', 'pool[1]', 'pool*', 'pool?'])(
  'a file in a folder that is called %s is read alone',
  async (name) => {
    for (const place of ['pool1', name]) {
      await mkdir(inside(place));
      await parquetFile(`${place}/a.parquet`, `SELECT 'in ${place}' AS question`);
    }
    expect(questions(await loadPath(`${name}/a.parquet`))).toEqual([`in ${name}`]);
  },
);

it('decimal numbers, dates and times come as they stand in the file, wherever it is read', async () => {
  const values = {
    decimal: "'12345678901234567890.120'::DECIMAL(38, 3)",
    date: "DATE '2020-02-29'",
    time: "TIME '01:02:03.5'",
    moment: "TIMESTAMP '2020-02-29 01:02:03'",
    zoned: "TIMESTAMPTZ '2020-02-29 01:02:03+05'",
    nested: "{'days': [DATE '2020-02-29']}",
  };
  const columns = Object.entries(values).map(([name, value]) => `${value} AS ${name}`);
  await parquetFile('pool.parquet', `SELECT 'Q' AS question, ${columns.join(', ')}`);
  const fields = { ...Object.fromEntries(Object.keys(values).map((name) => [name, name])), nested: 'nested.days.0' };
  const year = { field: 'zoned', pattern: '^\\d+' };
  expect((await loadPath('pool.parquet', { ...fields, year })).rows('dataset')[0]).toMatchObject({
    decimal: '12345678901234567890.120',
    date: '2020-02-29',
    time: '01:02:03.5',
    moment: '2020-02-29 01:02:03',
    zoned: '2020-02-28 20:02:03+00',
    nested: '2020-02-29',
    year: '2020',
  });
});

it('columns that differ in their case alone are two, and a column that is there twice is refused', async () => {
  await parquetFile('pool.parquet', "SELECT 'Q' AS question, {'part': 'A'} AS answer1, 'B' AS answer2");
  const bytes = (await readFile(inside('pool.parquet'))).toString('latin1');
  for (const [file, name] of [
    ['case', 'ANSWER2'],
    ['twice', 'answer2'],
  ] as const)
    await writeFile(inside(`${file}.parquet`), Buffer.from(bytes.replaceAll('answer1', name), 'latin1'));
  const result = await loadPath('case.parquet', { answer: 'ANSWER2.part', reasoning: 'answer2' });
  expect(result.rows('dataset')[0]).toMatchObject({ answer: 'A', reasoning: 'B' });
  await expect(loadPath('twice.parquet')).rejects.toMatchObject({ code: 'duplicate_column' });
});

it('a file that is damaged far behind its first rows is refused, and not read up to there', async () => {
  await parquetFile('pool.parquet', "SELECT 'Q' || i AS question FROM range(300000) rows(i)");
  const damaged = await open(inside('pool.parquet'), 'r+');
  const { size } = await damaged.stat();
  await damaged.write(Buffer.alloc(Math.floor(size / 10)), 0, null, Math.floor(size * 0.7));
  await damaged.close();
  await expect(loadPath('pool.parquet')).rejects.toMatchObject({
    code: 'malformed_data',
    message: expect.stringContaining('pool.parquet: this is not a Parquet file that can be read ('),
  });
});

it.each([
  ['no number', "'nan'::DOUBLE", 'this is "NaN"', 'Write null'],
  ['a number without end', "'-inf'::FLOAT", 'this is "-Infinity"', 'Write null'],
  ['bytes', "'\\xFF'::BLOB", 'this is bytes', 'as text'],
])('%s is no answer', async (_, value, message, hint) => {
  await parquetFile('pool.parquet', `SELECT 'Q' AS question, ${value} AS answer`);
  await expect(loadPath('pool.parquet')).rejects.toMatchObject({
    code: 'wrong_type',
    message: expect.stringContaining(`pool.parquet (row 1): column \`answer\` is VARCHAR, and ${message}.`),
    hint: expect.stringContaining(hint),
  });
});
