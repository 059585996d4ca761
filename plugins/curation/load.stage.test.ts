import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runStage } from '../../core/testing/run-stage.js';
import { load } from './load.stage.js';
import { problemId } from './problem-id.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'simmer-load-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Options = Readonly<Record<string, unknown>>;

const loadWith = (options: Options) =>
  runStage(load, { options, recipeFolder: folder, cacheFolder: join(folder, 'cache') });

async function loadFile(name: string, content: string | Uint8Array, source: Options = {}, options: Options = {}) {
  await writeFile(join(folder, name), content);
  return await loadWith({ sources: { pool: { path: name, ...source } }, ...options });
}

async function parquetFile(name: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const query = "SELECT 'Q' || i AS question, i AS level, ['t' || i] AS traces FROM range(3) rows(i)";
  await connection.run(`COPY (${query}) TO '${join(folder, name)}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
}

const lines = '{"question":"Q0","answer":0}\n\n{"question":"Q1","answer":"1"}';
/** `lines`, as `zstd` and as `xz` pack them. */
const zstd = Buffer.from('KLUv/SQ8bQEANAJ7InF1ZXN0aW9uIjoiUTAiLCJhbnN3ZXIiOjB9CgoxIjEifQIAwBAGWTkB1Lgofg==', 'base64');
const xz = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AA7ACxdAD2IiieTmMoqLYhFpK+KKUMD5oMygn68CBotV9Qaq5R6RGH+wcBp5BeEgncAAJfhhH8Gk73kAAFIPKEMSTcftvN9AQAAAAAEWVo=',
  'base64',
);
const questions = (result: Awaited<ReturnType<typeof loadFile>>) => result.rows('dataset').map((row) => row.question);

describe('curation/load reads', () => {
  it('JSONL, with the shared columns and an id', async () => {
    const result = await loadFile('pool.jsonl', lines);
    expect(result.rows('dataset')).toEqual([
      { id: problemId('Q0'), question: 'Q0', reasoning: null, answer: '0', domain: null, source: 'pool' },
      { id: problemId('Q1'), question: 'Q1', reasoning: null, answer: '1', domain: null, source: 'pool' },
    ]);
    expect(result.events.at(-1)?.data).toEqual({ step: 'stage', rowsIn: 2, rowsOut: 2, dropped: {} });
  });

  it.each([
    ['pool.jsonl.gz', gzipSync(lines)],
    ['pool.jsonl.zst', zstd],
    ['POOL.JSONL.XZ', xz],
    ['pool.json', '[{"question":"Q0"},{"question":"Q1"}]'],
    ['pool.csv', 'question,answer\r\n"Q0","a ""quoted"", one\nand another line"\r\nQ1,\r\n'],
    ['pool.csv', '\ufeffquestion\nQ0\nQ1'],
    ['pool.tsv', 'question\tanswer\nQ0\t"one, two"\nQ1\t\n'],
    ['POOL.TSV.GZ', gzipSync('question\tanswer\nQ0\t0\nQ1\t1\n')],
    ['pool.csv', '"question","a, b; c"\nQ0,0\nQ1,1\n'],
    ['pool.csv', 'question,answer,,\nQ0,0,,\nQ1,1,,\n'],
    ['pool.jsonl', `\ufeff${lines.replaceAll('\n', '\r\n')}`],
  ])('%s', async (name, content) => {
    expect(questions(await loadFile(name, content))).toEqual(['Q0', 'Q1']);
  });

  it.each([';', '\t', '|', 'ŋ'])('CSV with another delimiter, %j', async (delimiter) => {
    const second = `a, b;c${delimiter}`;
    const content = [`question${delimiter}answer`, `Q0${delimiter}0`, `"${second}"${delimiter}1`].join('\n');
    expect(questions(await loadFile('pool.csv', content, { delimiter }))).toEqual(['Q0', second]);
  });

  it('CSV of one column that holds another delimiter, where the recipe says so', async () => {
    const fields = { question: 'so; it is' };
    expect(questions(await loadFile('pool.csv', 'so; it is\nQ0\n', { delimiter: ',', fields }))).toEqual(['Q0']);
    expect(questions(await loadFile('pool.csv', '"so, it is"\nQ0\n', { fields: { question: 'so, it is' } }))).toEqual([
      'Q0',
    ]);
  });

  it('no CSV with a delimiter of several characters', () => {
    for (const delimiter of ['', ', ', '\\t', '"', '\n']) {
      const { error } = load.options.safeParse({ sources: { mine: { path: 'a.csv', delimiter } } });
      expect(error?.issues[0]).toMatchObject({ path: ['sources', 'mine', 'delimiter'] });
      expect(error?.issues[0]?.message).toContain('one character');
    }
  });

  it.each([
    ['gz', gzipSync(`${lines}\n`), gzipSync('{"question":"Q2"}')],
    ['zst', zstd, zstd],
    ['xz', xz, xz],
  ])('%s members that stand one behind the other', async (ending, first, second) => {
    // The first line of the second member follows the last line of the first, which only gzip's ends.
    const loading = loadFile(`pool.jsonl.${ending}`, Buffer.concat([first, second]));
    if (ending === 'gz') expect(questions(await loading)).toEqual(['Q0', 'Q1', 'Q2']);
    else await expect(loading).rejects.toMatchObject({ message: expect.stringContaining(`pool.jsonl.${ending}:3:31`) });
  });

  it('megabytes of packed text, as they were', async () => {
    const texts = Array.from({ length: 60_000 }, (_, index) => `Q${index} ${problemId(String(index))}`);
    const content = texts.map((question) => JSON.stringify({ question })).join('\n');
    expect(questions(await loadFile('pool.jsonl.gz', gzipSync(content)))).toEqual(texts);
  });

  it('the files that a glob matches, in the order of their paths', async () => {
    await mkdir(join(folder, 'parts', 'more'), { recursive: true });
    await writeFile(join(folder, 'parts', 'more', 'c.jsonl'), '{"question":"c"}');
    for (const part of ['b', 'a']) await writeFile(join(folder, 'parts', `${part}.jsonl`), `{"question":"${part}"}`);
    await writeFile(join(folder, 'parts', 'notes.txt'), 'not data');
    const found = async (path: string) => questions(await loadWith({ sources: { pool: { path } } }));
    expect(await found('parts/**/*.jsonl')).toEqual(['a', 'b', 'c']);
    expect(await found(join(folder, 'parts', '{a,c}.jsonl'))).toEqual(['a']);
    await writeFile(join(folder, 'pool[1].jsonl'), '{"question":"as written"}');
    expect(await found('pool[1].jsonl')).toEqual(['as written']);
    await expect(found('parts/*.csv')).rejects.toMatchObject({ code: 'file_missing' });
  });

  it('Parquet, reaching into lists and adding columns with types', async () => {
    await parquetFile('pool.parquet');
    const fields = { reasoning: 'traces.0', level: 'level' };
    const result = await loadWith({ sources: { pool: { path: 'pool.parquet', fields } }, types: { level: 'BIGINT' } });
    expect(result.rows('dataset')[2]).toMatchObject({ question: 'Q2', reasoning: 't2', level: 2 });
  });

  it('several sources in their order, and those files of a folder that are asked for', async () => {
    await mkdir(join(folder, 'parts'));
    for (const part of ['b', 'a']) await writeFile(join(folder, 'parts', `${part}.jsonl`), `{"problem":"${part}"}`);
    await writeFile(join(folder, 'parts', 'notes.txt'), 'not data');
    await writeFile(join(folder, 'one.jsonl'), lines);
    const result = await loadWith({
      sources: {
        parts: { path: 'parts', files: '*.jsonl', fields: { question: 'problem', domain: { value: 'letters' } } },
        one: { path: 'one.jsonl', limit: 1 },
      },
    });
    expect(result.rows('dataset').map((row) => [row.question, row.source, row.domain])).toEqual([
      ['a', 'parts', 'letters'],
      ['b', 'parts', 'letters'],
      ['Q0', 'one', null],
    ]);
  });

  it('no file of a folder, soon, where a pattern with many stars fits none', async () => {
    await mkdir(join(folder, 'parts'));
    await writeFile(join(folder, 'parts', 'a'.repeat(60)), lines);
    const files = `${'*a'.repeat(30)}*b`;
    const loading = loadWith({ sources: { parts: { path: 'parts', files } } });
    await expect(loading).rejects.toMatchObject({ code: 'file_missing', message: expect.stringContaining(files) });
  });

  it("GSM8K's gold answer and trace", async () => {
    const answer = 'She sold 48/2 = <<48/2=24>>24 clips.\nThat is 48+24 = <<48+24=72>>72.\n#### 72';
    const result = await loadFile('gsm8k.jsonl', JSON.stringify({ question: 'How many?', answer }), {
      fields: {
        answer: { field: 'answer', pattern: '#### (.*)$' },
        reasoning: { field: 'answer', pattern: '^([\\s\\S]*?)\\n#### ', remove: ['<<[^>]*>>'] },
      },
    });
    expect(result.rows('dataset')[0]).toMatchObject({
      answer: '72',
      reasoning: 'She sold 48/2 = 24 clips.\nThat is 48+24 = 72.',
    });
  });

  it('any text that JSON can hold, as it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text.trim() !== ''),
          { minLength: 1 },
        ),
        async (texts) => {
          const content = texts.map((question) => JSON.stringify({ question })).join('\n');
          expect(questions(await loadFile('pool.jsonl', content))).toEqual(texts);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('curation/load names file, line and column of', () => {
  it.each([
    ['a line that is cut', 'pool.jsonl', '{"question":"a"}\n{"question":"b', 'malformed_data', 'pool.jsonl:2:'],
    [
      'a list in place of a row',
      'pool.jsonl',
      '[1]',
      'malformed_data',
      'pool.jsonl:1: a row is an object, and this is a list',
    ],
    ['JSON that is no list', 'pool.json', '{"rows": []}', 'malformed_data', 'pool.json: a JSON file of data is a list'],
    ['a row with too many fields', 'pool.csv', 'question,answer\na,b\nc,d,e\n', 'malformed_data', 'pool.csv:3'],
    [
      'a header with semicolons',
      'pool.csv',
      'question;answer\na, b;c\n',
      'wrong_delimiter',
      'pool.csv:1: the header is one column, `question;answer`',
    ],
    ['a header with tabs', 'pool.csv', 'question\tanswer\n', 'wrong_delimiter', 'pool.csv:1'],
    ['a header with commas in a file for tabs', 'pool.tsv', 'question,answer\n', 'wrong_delimiter', 'pool.tsv:1'],
    [
      'a header with a name twice',
      'pool.csv',
      'question,answer,answer\na,b,c\n',
      'duplicate_column',
      'pool.csv:1: the header has the column `answer` more than once',
    ],
    ['an open quote', 'pool.csv', 'question\n"a\n', 'malformed_data', 'pool.csv:'],
    [
      'a row without its question',
      'pool.jsonl',
      '{"question":"a"}\n{"problem":"b"}',
      'missing_column',
      'pool.jsonl:2: the row has no `question`; it has `problem`',
    ],
    ['an empty question', 'pool.jsonl', '{"question":" "}', 'value_missing', 'pool.jsonl:1: `question` is empty'],
    [
      'a question that is null',
      'pool.jsonl',
      '{"question":null}',
      'value_missing',
      'pool.jsonl:1: `question` is empty',
    ],
    [
      'a question that is a list',
      'pool.jsonl',
      '{"question":["a"]}',
      'wrong_type',
      'pool.jsonl:1: column `question` is VARCHAR, and this is a list',
    ],
    [
      'half an emoji',
      'pool.jsonl',
      '{"question":"a"}\n{"question":"so \\ud83d it is"}',
      'half_character',
      'pool.jsonl:2: column `question` holds half a character (a lone surrogate): "so \ufffd it is"',
    ],
    [
      'a file that is not gzip',
      'pool.jsonl.gz',
      '{"question":"a"}',
      'malformed_data',
      'pool.jsonl.gz: it cannot be unpacked',
    ],
    [
      'a file that is not Zstandard',
      'pool.jsonl.zst',
      '{"question":"a"}',
      'malformed_data',
      'pool.jsonl.zst: it cannot',
    ],
    ['a file that is cut', 'pool.jsonl.zst', zstd.subarray(0, 40), 'malformed_data', 'pool.jsonl.zst: it cannot'],
    ['a file that is not XZ', 'pool.jsonl.xz', '{"question":"a"}', 'malformed_data', 'pool.jsonl.xz: it cannot'],
    ['a file that is cut', 'pool.jsonl.xz', xz.subarray(0, 60), 'malformed_data', 'pool.jsonl.xz: it cannot'],
    [
      'a file that is not Parquet',
      'pool.parquet',
      'PAR1',
      'malformed_data',
      'pool.parquet: this is not a Parquet file',
    ],
    ['a name that says no format', 'pool.txt', '', 'unknown_format', 'pool.txt'],
  ])('%s', async (_, name, content, code, message) => {
    await expect(loadFile(name, content)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
      hint: expect.any(String),
    });
  });

  it.each([
    ['in the middle of a line', '{"question":"a"}\n{"question":"ä', [0xff, 0x22, 0x7d], 2, 15],
    ['cut at the end of the file', '{"question":"', [0xe2, 0x82], 1, 14],
  ])('what is not UTF-8, %s', async (_, before, bytes, line, column) => {
    const content = Buffer.concat([Buffer.from(before), Buffer.from(bytes)]);
    await expect(loadFile('pool.jsonl', content)).rejects.toMatchObject({
      code: 'not_utf8',
      message: expect.stringContaining(`pool.jsonl:${line}:${column}: this is not UTF-8`),
    });
  });

  it.each([
    ['pool.csv', false],
    ['pool.csv', true],
    ['pool.jsonl', false],
  ])('UTF-16 in %s, with what converts it', async (name, isBigEndian) => {
    const text = Buffer.from('\ufeffquestion\nä\n', 'utf16le');
    await expect(loadFile(name, isBigEndian ? text.swap16() : text)).rejects.toMatchObject({
      code: 'not_utf8',
      message: expect.stringContaining(`${name}: this is UTF-16 text.`),
      hint: expect.stringContaining('iconv -f utf-16 -t utf-8 '),
    });
  });

  it('what is not UTF-8 far into a large file', async () => {
    const good = '{"question":"many words in a row"}\n'.repeat(20_000);
    const content = Buffer.concat([Buffer.from(good), Buffer.from([0x80])]);
    await expect(loadFile('pool.jsonl', content)).rejects.toMatchObject({
      message: expect.stringContaining('pool.jsonl:20001:1:'),
    });
  });

  it('lines of megabytes, in a file that several threads read', async () => {
    const long = 'ü'.repeat(1_500_000);
    const content = Array.from({ length: 12 }, (_, at) => JSON.stringify({ question: `${at} ${long}` })).join('\n');
    const found = questions(await loadFile('pool.jsonl', content));
    expect(found.map((question) => Number.parseInt(String(question), 10))).toEqual([...Array(12).keys()]);
  });

  it('rows by their lines, also of a file that several threads read', async () => {
    const long = 'many words '.repeat(1000);
    const content = Array.from({ length: 4000 }, (_, at) => JSON.stringify({ question: `${at} ${long}` }));
    content[3900] = '{"question":"';
    const malformed = loadFile('pool.jsonl', content.join('\n'));
    await expect(malformed).rejects.toMatchObject({
      message: expect.stringContaining('pool.jsonl:3901:14: this is not JSON'),
    });
    content[3900] = '{}';
    const result = await loadFile('pool.jsonl', content.join('\n'), {}, { missing: 'drop' });
    expect(result.rows('decisions').map(({ evidence }) => evidence)).toEqual(['pool: pool.jsonl:3901']);
    const numbers = questions(result).map((question) => Number.parseInt(String(question), 10));
    expect(numbers).toEqual([...Array(4000).keys()].filter((at) => at !== 3900));
  });

  it('a field that is not there, and a pattern that does not match', async () => {
    const missing = loadFile('pool.jsonl', '{"text":"a"}', { fields: { question: 'problem' } });
    await expect(missing).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining(
        'pool.jsonl:1: there is no field `problem` for column `question`; the row has `text`',
      ),
    });
    const fields = { answer: { field: 'answer', pattern: '#### (.*)' } };
    await expect(loadFile('pool.jsonl', lines, { fields })).rejects.toMatchObject({ code: 'pattern_not_found' });
  });

  it('an empty cell of a column by the name that it has in the file', async () => {
    const content = 'prompt,answer\nQ0,0\n,1\n';
    await expect(loadFile('pool.csv', content, { fields: { question: 'prompt' } })).rejects.toMatchObject({
      code: 'value_missing',
      message: expect.stringContaining('pool.csv:3: `prompt` is empty.'),
      hint: 'Fill it in, or set `missing: drop` to leave such rows out.',
    });
    const fields = { question: { field: 'prompt', remove: ['Q0'] } };
    await expect(loadFile('pool.csv', content, { fields })).rejects.toMatchObject({
      message: expect.stringContaining('pool.csv:2: nothing is left of `prompt` for column `question`.'),
    });
  });

  it('a field for the id, which is made of the question', () => {
    const { error } = load.options.safeParse({ sources: { mine: { path: 'a.jsonl', fields: { id: 'number' } } } });
    expect(error?.issues[0]).toMatchObject({ path: ['sources', 'mine', 'fields', 'id'] });
    expect(error?.issues[0]?.message).toContain('id is made of the question');
  });

  it('a file that changes while it is read', async () => {
    const content = `{"question":"${'many words in a row '.repeat(100)}"}\n`.repeat(10_000);
    const changing = setInterval(() => appendFileSync(join(folder, 'pool.jsonl'), '{"question":"one more"}\n'), 20);
    await expect(loadFile('pool.jsonl', content).finally(() => clearInterval(changing))).rejects.toMatchObject({
      code: 'file_changed',
      message: expect.stringContaining('pool.jsonl: it changed while it was read'),
    });
  });

  it('a file that is not there', async () => {
    for (const path of ['none.jsonl', 'none.jsonl.gz', 'none.jsonl.zst', 'none.jsonl.xz']) {
      const message = expect.stringContaining(`${path}: there is no such file`);
      await expect(loadWith({ sources: { pool: { path } } })).rejects.toMatchObject({ code: 'file_missing', message });
    }
    await mkdir(join(folder, 'empty'));
    await expect(loadWith({ sources: { pool: { path: 'empty' } } })).rejects.toMatchObject({ code: 'file_missing' });
  });
});

describe('curation/load takes the rows of a source out of a file that holds many', () => {
  const content = ['GPQA/x', 'math/a', 'gpqa/y', null]
    .map((from, index) => JSON.stringify({ question: `Q${index}`, meta: { from } }))
    .join('\n');
  const source = (options: Options) =>
    loadFile('pool.jsonl', content, { where: { 'meta.from': '^gpqa/' }, ...options });

  it('by a field that matches, whatever the case', async () => {
    expect(questions(await source({ rows: 2 }))).toEqual(['Q0', 'Q2']);
    expect(questions(await source({ limit: 1 }))).toEqual(['Q0']);
    const { logged } = await source({});
    expect(logged.map(({ message }) => message)).toEqual([
      'Source pool: 2 of 4 rows match `where`; the others are no input.',
    ]);
  });

  it('and says so where it gives more or fewer than it must', async () => {
    await expect(source({ rows: 3 })).rejects.toMatchObject({
      code: 'wrong_row_count',
      message: 'Source pool gives 2 rows, expected 3.',
    });
  });
});

describe('curation/load takes apart', () => {
  const loadRow = async (layout: string, row: unknown, options: Options = {}) =>
    (
      await loadFile(
        'pool.jsonl',
        JSON.stringify(row),
        { layout, fields: { system: { field: 'system', optional: true } } },
        options,
      )
    ).rows('dataset')[0];
  const asked = [
    { from: 'system', value: 'Be brief.' },
    { from: 'human', value: 'Q' },
  ];

  it('Alpaca rows, the input behind the instruction', async () => {
    expect(await loadRow('alpaca', { instruction: 'Add.', input: '1, 2', output: '3' })).toMatchObject({
      question: 'Add.\n\n1, 2',
      answer: '3',
      reasoning: null,
    });
    expect(await loadRow('alpaca', { instruction: 'Add.', input: '', output: '3' })).toMatchObject({
      question: 'Add.',
    });
  });

  it('ShareGPT conversations, thinking and all', async () => {
    const value = '<think>\nfirst\n</think>\n\nA';
    expect(await loadRow('sharegpt', { conversations: [...asked, { from: 'gpt', value }] })).toMatchObject({
      question: 'Q',
      reasoning: 'first',
      answer: 'A',
      system: 'Be brief.',
    });
  });

  it('messages with reasoning_content', async () => {
    const reply = { role: 'assistant', content: 'A', reasoning_content: 'because' };
    expect(await loadRow('messages', { messages: [{ role: 'user', content: 'Q' }, reply] })).toMatchObject({
      question: 'Q',
      reasoning: 'because',
      answer: 'A',
      system: null,
    });
  });

  it('nothing that has several turns', async () => {
    const row = {
      conversations: [...asked, { from: 'gpt', value: 'A' }, ...asked.slice(1), { from: 'gpt', value: 'B' }],
    };
    await expect(loadRow('sharegpt', row)).rejects.toMatchObject({
      code: 'several_turns',
      message: expect.stringContaining('pool.jsonl:1: the conversation'),
    });
    const rows = [row, { conversations: row.conversations.slice(0, 3) }].map((each) => JSON.stringify(each));
    const dropped = await loadFile('pool.jsonl', rows.join('\n'), { layout: 'sharegpt' }, { missing: 'drop' });
    expect(dropped.events.at(-1)?.data).toMatchObject({ rowsOut: 1, dropped: { no_single_turn: 1 } });
  });

  it.each([
    ['sharegpt', { messages: [] }, 'missing_column', 'no field `conversations`; there is `messages`'],
    ['sharegpt', { conversations: 'Q' }, 'wrong_type', '`conversations` is a string, expected a list'],
    ['sharegpt', { conversations: [{ from: 'robot', value: 'Q' }] }, 'unknown_role', 'the role "robot"'],
    ['messages', { messages: [{ role: 'user', content: ['Q'] }] }, 'wrong_type', '`messages.0.content` is a list'],
    ['alpaca', { instruction: 'Q' }, 'missing_column', 'no field `output`'],
  ])('%s, naming what is wrong: %j', async (layout, row, code, message) => {
    await expect(loadRow(layout, row)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`pool.jsonl:1: `),
    });
    await expect(loadRow(layout, row)).rejects.toMatchObject({ message: expect.stringContaining(message) });
  });
});

it('curation/load drops and counts rows that lack a column where asked', async () => {
  const options = { required: ['question', 'answer'], missing: 'drop' };
  const result = await loadFile('pool.jsonl', `${lines}\n{"question":"Q2"}\n{"answer":"3"}`, {}, options);
  expect(questions(result)).toEqual(['Q0', 'Q1']);
  expect(result.events.at(-1)?.data).toMatchObject({
    rowsIn: 4,
    rowsOut: 2,
    dropped: { no_answer: 1, no_question: 1 },
  });
  expect(result.rows('decisions')).toEqual([
    { id: problemId('Q2'), kept: false, rule: 'no_answer', evidence: 'pool: pool.jsonl:4' },
    { id: null, kept: false, rule: 'no_question', evidence: 'pool: pool.jsonl:5' },
  ]);
});

describe('curation/load refuses a field that no row of a file has, though rows may be dropped', () => {
  const drop = { required: ['question', 'answer'], missing: 'drop' };

  it.each([
    ['pool.csv', 'prompt,answer\nQ0,0\n'],
    ['pool.jsonl', '{"prompt":"Q0","answer":"0"}\n'],
    ['pool.json', '[{"prompt":"Q0","answer":"0"}]'],
  ])('%s', async (name, content) => {
    const fields = { question: 'promt' };
    await expect(loadFile(name, content, { fields }, drop)).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining(
        `${name}: no row has the field \`promt\` for column \`question\`; there is \`prompt\`, \`answer\`.`,
      ),
      hint: expect.stringContaining('Did you mean `prompt`?'),
    });
  });

  it('Parquet', async () => {
    await parquetFile('pool.parquet');
    const sources = { pool: { path: 'pool.parquet', fields: { answer: 'levels' } } };
    await expect(loadWith({ sources, ...drop })).rejects.toMatchObject({
      hint: expect.stringContaining('Did you mean `level`?'),
    });
  });

  it('and none that some row has, be it in the last part of a file that several threads read', async () => {
    const content = Array.from({ length: 4000 }, (_, at) =>
      JSON.stringify({ question: `${at}`, text: 'x'.repeat(10_000) }),
    );
    content.push('{"question":"last","solution":"1"}');
    const result = await loadFile('pool.jsonl', content.join('\n'), { fields: { answer: 'solution' } }, drop);
    expect(questions(result)).toEqual(['last']);
  });

  it('and none that some other file of the source has', async () => {
    const shard = (name: string, text: string) => writeFile(join(folder, name), text);
    await shard('a.jsonl', '{"question":"Q0","text":"0"}\n');
    await shard('b.jsonl', '{"question":"Q1","solution":"1"}\n');
    const sources = { pool: { path: '.', files: '*.jsonl', fields: { answer: 'solution' } } };
    expect(questions(await loadWith({ sources, ...drop }))).toEqual(['Q1']);
  });

  it('and none that is optional, or that a layout takes from the row', async () => {
    const rows = ['1', ''].map((output) => JSON.stringify({ instruction: 'Add.', output })).join('\n');
    const fields = { answer: 'answer', domain: { field: 'topic', optional: true } };
    const result = await loadFile('pool.jsonl', rows, { layout: 'alpaca', fields }, drop);
    expect(questions(result)).toEqual(['Add.']);
  });
});

describe('curation/load tells', () => {
  it.each([
    ['that a file is empty', 'pool.csv', '', {}, 'Source pool has no row.'],
    ['that a file is a header alone', 'pool.csv', 'question,answer\n', {}, 'Source pool has no row.'],
    ['that a list is empty', 'pool.json', '[]', {}, 'Source pool has no row.'],
    [
      'that `where` takes nothing',
      'pool.jsonl',
      lines,
      { where: { question: '^A' } },
      'No row of source pool matches `where`; it has 2.',
    ],
    [
      'that every row was dropped',
      'pool.jsonl',
      '{"prompt":"Q0"}\n{}',
      {},
      'No row of source pool has all required columns; 2 were read.',
    ],
  ])('%s', async (_, name, content, source, message) => {
    const loading = loadFile(name, content, source, { missing: 'drop' });
    await expect(loading).rejects.toMatchObject({ code: 'no_rows', message, hint: expect.any(String) });
  });

  it('which file of several has no row, and nothing of those that `limit` leaves unread', async () => {
    for (const [name, content] of Object.entries({ a: 'question\n', b: 'question\nQ0\n', c: '' }))
      await writeFile(join(folder, `${name}.csv`), content);
    const warned = async (source: Options) =>
      (await loadWith({ sources: { pool: { path: '*.csv', ...source } } })).logged
        .filter(({ level }) => level === 'warning')
        .map(({ message }) => message);
    const [first, last] = ['a.csv', 'c.csv'].map((name) => `Source pool: ${join(folder, name)} has no row.`);
    expect(await warned({})).toEqual([first, last]);
    expect(await warned({ limit: 1 })).toEqual([first]);
  });
});

it('curation/load checks the SHA-256 of a file', async () => {
  const sha256 = createHash('sha256').update(lines).digest('hex');
  expect(questions(await loadFile('pool.jsonl', lines, { sha256 }))).toHaveLength(2);
  await expect(loadFile('pool.jsonl', `${lines} `, { sha256 })).rejects.toMatchObject({
    code: 'checksum_differs',
    message: expect.stringContaining(sha256),
  });
});

const data = process.env.SIMMER_DATA;

describe.skipIf(data === undefined)('with SIMMER_DATA: curation/load', () => {
  it.each([
    ['gsm8k_train.jsonl', 7473, { answer: { field: 'answer', pattern: '#### (.*)$' } }],
    ['math500.jsonl', 500, { question: 'problem', reasoning: 'solution', domain: 'subject' }],
    ['aime24.jsonl', 30, { question: 'problem', reasoning: 'solution' }],
  ])('loads %s', async (name, count, fields) => {
    const path = join(data ?? '', name);
    const sha256 = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    const result = await loadWith({ sources: { pool: { path, sha256, fields } }, required: ['question', 'answer'] });
    expect(result.rows('dataset')).toHaveLength(count);
  });
});
