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

it('texts that begin with a byte order mark keep it', async () => {
  await parquetFile('pool.parquet', "SELECT chr(65279) || 'Q' AS question, [chr(65279) || 'A'] AS answers");
  const result = await loadPath('pool.parquet', { answer: 'answers.0' });
  expect(result.rows('dataset')[0]).toMatchObject({ question: '\ufeffQ', answer: '\ufeffA' });
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

it('a column that nothing is taken from is not read, and any other is', async () => {
  const other = "{'text': repeat(md5(i::VARCHAR), 20)} AS other";
  await parquetFile('pool.parquet', `SELECT ${other}, 'Q' || i AS question FROM range(1000) rows(i)`);
  const damaged = await open(inside('pool.parquet'), 'r+');
  await damaged.write(Buffer.alloc(500, 0xff), 0, null, 50);
  await damaged.close();
  expect(questions(await loadPath('pool.parquet'))).toEqual(Array.from({ length: 1000 }, (_, at) => `Q${at}`));
  const fields: Options = { answer: 'other.text' };
  await expect(loadPath('pool.parquet', fields)).rejects.toMatchObject({ code: 'malformed_data' });
  await expect(
    loadWith({ sources: { pool: { path: 'pool.parquet', where: { 'other.text': 'x' } } } }),
  ).rejects.toMatchObject({ code: 'malformed_data' });
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

/**
 * As pyarrow writes it: question "Q", answer a decimal of 52 digits, x {d: [decimal of 50 digits]}, free null, and score 0.1
 * in single precision. DuckDB does not write such decimals.
 */
const longDecimals =
  'UEFSMRUAFRYVFiwVAhUAFQYVBhwAAAACAAAAAgEBAAAAURUAFTgVOCwVAhUAFQYVBhwAAAACAAAAAgEAVHj54iCtsl5NIYCMzbfPb+QOdmw5FQ' +
  'AVQhVCLBUCFQAVBhUGHAAAAAIAAAACAAIAAAACBAAAAAAAAAAAAAAAAAAAAAAAAAAAbhUAFQwVDCwVAhUAFQYVBhwAAAACAAAAAgAVABUUFRQs' +
  'FQIVABUGFQYcAAAAAgAAAAIBzczMPRUEGZw1ABgGc2NoZW1hFQoAFQwlAhgIcXVlc3Rpb24lAEwcAAAAFQ4VLBUCGAZhbnN3ZXIlChUCFWgsXB' +
  'UCFWgAAAA1AhgBeBUCADUCGAFkFQIVBkw8AAAANQQYBGxpc3QVAgAVDhUqFQIYB2VsZW1lbnQlChUEFWQsXBUEFWQAAAAVDhUqFQIYBGZyZWUl' +
  'ChUEFWQsXBUEFWQAAAAVCCUCGAVzY29yZQAWAhkcGVwmABwVDBklBgAZGAhxdWVzdGlvbhUAFgIWPBY8JghJHBUAFQAVAgA8FgIZBhkmAAIAAA' +
  'AmABwVDhklBgAZGAZhbnN3ZXIVABYCFl4WXiZESRwVABUAFQIAPCkGGSYAAgAAACYAHBUOGSUGABlIAXgBZARsaXN0B2VsZW1lbnQVABYCFmgW' +
  'aCaiAUkcFQAVABUCADwpJgIAGVYAAAAAAgAAACYAHBUOGSUGABkYBGZyZWUVABYCFjIWMiaKAkkcFQAVABUCADwpBhkmAgAAAAAmABwVCBklBg' +
  'AZGAVzY29yZRUAFgIWOhY6JrwCSRwVABUAFQIAPCkGGSYAAgAAABbuAhYCJggW7gIAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAu' +
  'MRlcHAAAHAAAHAAAHAAAHAAAAOwBAABQQVIx';

it('decimal numbers that DuckDB misreads are refused where they are taken, and nowhere else', async () => {
  await writeFile(inside('pool.parquet'), Buffer.from(longDecimals, 'base64'));
  const refused = 'is VARCHAR, and this is made of decimal numbers of more than 38 digits.';
  await expect(loadPath('pool.parquet')).rejects.toMatchObject({
    code: 'wrong_type',
    message: expect.stringContaining(`pool.parquet (row 1): column \`answer\` ${refused}`),
    hint: 'Write the column as text (UTF-8).',
  });
  await expect(loadPath('pool.parquet', { answer: 'x.d.0' })).rejects.toMatchObject({
    message: expect.stringContaining(refused),
  });
  const result = await loadPath('pool.parquet', { answer: 'free', score: 'score' });
  expect(result.rows('dataset')[0]).toMatchObject({ question: 'Q', answer: null, score: '0.1' });
});

it('numbers of single precision have the digits that they were written with', async () => {
  const values = ['0.1', '-3.14159', '16777216', '0.33333334', '0'];
  const list = values.map((value) => `${value}::FLOAT`).join(', ');
  await parquetFile('pool.parquet', `SELECT 'Q' AS question, unnest([${list}]) AS answer`);
  expect((await loadPath('pool.parquet')).rows('dataset').map(({ answer }) => answer)).toEqual(values);
});
