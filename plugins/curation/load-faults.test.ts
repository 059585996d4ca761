import { appendFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { lines, loadFolder, type Options, questions, xz, xzSha256, zstd } from './load.fixture.js';
import { load } from './load.stage.js';

const { inside, loadWith, loadFile, parquetFile } = loadFolder();

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
    [
      'JSON that has its rows in a field',
      'pool.json',
      '{"rows": []}',
      'missing_column',
      'pool.json: the row has no `question`; it has `rows`',
    ],
    ['JSON of a number', 'pool.json', '7', 'malformed_data', 'pool.json: a row is an object, and this is a number'],
    [
      'JSON of a row a line',
      'pool.json',
      '{"question":"a"}\n{"question":"b"}\n',
      'wrong_format',
      'pool.json: its rows stand one a line, as in JSONL',
    ],
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
    [
      'a quote within a field that is not quoted',
      'pool.csv',
      'question,answer\na,b\nHe says "hi",c\n',
      'malformed_data',
      'pool.csv:3: Invalid Opening Quote',
    ],
    ['an open quote', 'pool.csv', 'question\n"a\n\nb\n', 'malformed_data', 'pool.csv:2: Quote Not Closed'],
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
      'a member behind zeros, where none is looked for',
      'pool.jsonl.gz',
      Buffer.concat([gzipSync(lines), Buffer.alloc(3 * 2 ** 20), gzipSync(lines)]),
      'malformed_data',
      'pool.jsonl.gz: it cannot be unpacked (there is more behind zeros)',
    ],
    [
      'a file that is not Zstandard',
      'pool.jsonl.zst',
      '{"question":"a"}',
      'malformed_data',
      'pool.jsonl.zst: it cannot',
    ],
    ['a file that is cut', 'pool.jsonl.zst', zstd.subarray(0, 40), 'malformed_data', 'pool.jsonl.zst: it cannot'],
    [
      'a file with a character that was another one',
      'pool.jsonl.zst',
      Buffer.from(zstd.toString('latin1').replace('Q0', 'Q7'), 'latin1'),
      'malformed_data',
      'pool.jsonl.zst: it cannot be unpacked (a checksum in it differs)',
    ],
    ['a file that is not XZ', 'pool.jsonl.xz', '{"question":"a"}', 'malformed_data', 'pool.jsonl.xz: it cannot'],
    [
      'a file with another check',
      'pool.jsonl.xz',
      xzSha256,
      'unsupported_check',
      'pool.jsonl.xz: it is checked by SHA-256',
    ],
    ['a file that is cut', 'pool.jsonl.xz', xz.subarray(0, 60), 'malformed_data', 'pool.jsonl.xz: it cannot'],
    [
      'a number that is too large',
      'pool.jsonl',
      '{"question": 1e400}',
      'wrong_type',
      'pool.jsonl:1: column `question` is VARCHAR, and this is "Infinity"',
    ],
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

  it('a part of a field that is not there, with the parts that there are', async () => {
    const fields = { answer: 'label.priority' };
    const row = '{"question":"a","label":{"team":"b","priorty":"c"}}';
    await expect(loadFile('pool.jsonl', row, { fields })).rejects.toMatchObject({
      message: expect.stringContaining('for column `answer`; `label` has `team`, `priorty`.'),
      hint: expect.stringContaining('Did you mean `label.priorty`?'),
    });
  });

  it('the field of a template that is not there, that is empty, and that is no text', async () => {
    const fields = { question: { template: '{team}/{prio}' } };
    const load = (row: object, options = {}) => loadFile('pool.jsonl', JSON.stringify(row), { fields }, options);
    await expect(load({ team: 'a', priority: 'b' })).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining('no field `prio` for column `question`'),
    });
    await expect(load({ team: 'a', priority: 'b' }, { missing: 'drop' })).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining('no row has the field `prio` for column `question`'),
    });
    await expect(load({ team: 'a', prio: ' ' })).rejects.toMatchObject({
      code: 'value_missing',
      message: expect.stringContaining('`prio` is empty'),
    });
    await expect(load({ team: 'a', prio: ['b'] })).rejects.toMatchObject({ code: 'wrong_type' });
  });

  it('a template that is given as the name of a field', async () => {
    const fields = { answer: '{question}/{answer}' };
    await expect(loadFile('pool.jsonl', lines, { fields })).rejects.toMatchObject({
      code: 'missing_column',
      hint: expect.stringContaining('{ template: "{question}/{answer}" }'),
    });
  });

  it('no template without a field', async () => {
    const fields = { question: { template: 'team/prio' } };
    await expect(loadFile('pool.jsonl', lines, { fields })).rejects.toThrow(/names a field in braces/);
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
    expect(error?.issues[0]?.message).toContain('`fields: { key: id }`');
  });

  it('a file that changes while it is read', async () => {
    const content = `{"question":"${'many words in a row '.repeat(100)}"}\n`.repeat(10_000);
    const changing = setInterval(() => appendFileSync(inside('pool.jsonl'), '{"question":"one more"}\n'), 20);
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
    await mkdir(inside('empty'));
    await expect(loadWith({ sources: { pool: { path: 'empty' } } })).rejects.toMatchObject({ code: 'file_missing' });
  });

  it('a file that is packed in a way that it does not know', async () => {
    await expect(loadFile('pool.jsonl.bz2', 'BZh9')).rejects.toMatchObject({
      code: 'unknown_format',
      hint: 'Unpack it first, or pack it as .gz, .zst or .xz.',
    });
  });
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
    const shard = (name: string, text: string) => writeFile(inside(name), text);
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

  it.each([
    ['a line that is no JSON', '{"question":"a"}\n{"question":"b"}\n{bad\n', 'pool.jsonl'],
    ['a line that is no UTF-8', Buffer.from('{"question":"a"}\n{"question":"b"}\n\xff\n', 'latin1'), 'pool.jsonl'],
    ['a record of more fields', 'question,answer\na,1\nb,2\nc,3,4\n', 'pool.csv'],
  ])('nothing of what stands behind the rows that `limit` takes: %s', async (_, content, name) => {
    expect(questions(await loadFile(name, content, { limit: 2 }))).toEqual(['a', 'b']);
    await expect(loadFile(name, content, { limit: 3 })).rejects.toMatchObject({ code: expect.any(String) });
  });

  it('which file of several has no row, and nothing of those that `limit` leaves unread', async () => {
    for (const [name, content] of Object.entries({ a: 'question\n', b: 'question\nQ0\n', c: '' }))
      await writeFile(inside(`${name}.csv`), content);
    const warned = async (source: Options) =>
      (await loadWith({ sources: { pool: { path: '*.csv', ...source } } })).logged
        .filter(({ level }) => level === 'warning')
        .map(({ message }) => message);
    const [first, last] = ['a.csv', 'c.csv'].map((name) => `Source pool: ${inside(name)} has no row.`);
    expect(await warned({})).toEqual([first, last]);
    expect(await warned({ limit: 1 })).toEqual([first]);
  });
});
