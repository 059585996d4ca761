import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lines, loadFolder, type Options, questions, xz, zstd } from './load.fixture.js';
import { load } from './load.stage.js';
import { problemId } from './problem-id.js';

const { inside, loadWith, loadFile, parquetFile } = loadFolder();

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
    ['padded.jsonl.gz', Buffer.concat([gzipSync(lines), Buffer.alloc(512)])],
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

  it.each([
    ['\n', '\r\n'],
    ['\r\n', '\n'],
    ['\r', '\r'],
  ])('CSV whose header ends with %j and its lines with %j', async (first, next) => {
    const result = await loadFile('pool.csv', `question,answer${first}Q0,a${next}"Q\n1",b${next}`);
    expect(result.rows('dataset')).toMatchObject([
      { question: 'Q0', answer: 'a' },
      { question: 'Q\n1', answer: 'b' },
    ]);
  });

  it.each(['pool.jsonl', 'pool.json'])('numbers with all their digits, in %s', async (name) => {
    const question = 'is \\"12345678901234567890, 12345678901234567891';
    const rows = ['12345678901234567890', '-9007199254740993', '9007199254740991', '1.5', '0.1234567890123456789'].map(
      (answer, index) => `{"question":"${index} ${question}","answer":${answer},"more":[12345678901234567890]}`,
    );
    const content = name.endsWith('l') ? rows.join('\n') : `[${rows.join(',\n')}]`;
    const result = await loadFile(name, content, { fields: { more: 'more.0' } });
    expect(result.rows('dataset').map((row) => row.answer)).toEqual([
      '12345678901234567890',
      '-9007199254740993',
      '9007199254740991',
      '1.5',
      '0.1234567890123456789',
    ]);
    expect(result.rows('dataset')[0]).toMatchObject({
      question: '0 is "12345678901234567890, 12345678901234567891',
      more: '12345678901234567890',
    });
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

  it('frames of Zstandard that have no checksum, or no content', async () => {
    const text = Buffer.from('{"question":"Q0"}\n');
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 2 * text.length]);
    const [stored, last] = [Buffer.from([8 * text.length, 0, 0]), Buffer.from([1 + 8 * text.length, 0, 0])];
    const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const packed = Buffer.concat([header, stored, text, last, text, skippable, zstd]);
    expect(questions(await loadFile('pool.jsonl.zst', packed))).toEqual(['Q0', 'Q0', 'Q0', 'Q1']);
  });

  it('megabytes of packed text, as they were', async () => {
    const texts = Array.from({ length: 60_000 }, (_, index) => `Q${index} ${problemId(String(index))}`);
    const content = texts.map((question) => JSON.stringify({ question })).join('\n');
    expect(questions(await loadFile('pool.jsonl.gz', gzipSync(content)))).toEqual(texts);
  });

  it('the files that a glob matches, in the order of their paths', async () => {
    await mkdir(inside('parts', 'more'), { recursive: true });
    await writeFile(inside('parts', 'more', 'c.jsonl'), '{"question":"c"}');
    for (const part of ['b', 'a']) await writeFile(inside('parts', `${part}.jsonl`), `{"question":"${part}"}`);
    await writeFile(inside('parts', 'notes.txt'), 'not data');
    const found = async (path: string) => questions(await loadWith({ sources: { pool: { path } } }));
    expect(await found('parts/**/*.jsonl')).toEqual(['a', 'b', 'c']);
    expect(await found(inside('parts', '{a,c}.jsonl'))).toEqual(['a']);
    await writeFile(inside('pool[1].jsonl'), '{"question":"as written"}');
    expect(await found('pool[1].jsonl')).toEqual(['as written']);
    await expect(found('parts/*.csv')).rejects.toMatchObject({ code: 'file_missing' });
  });

  it('Parquet, reaching into lists and adding columns with types', async () => {
    await parquetFile('pool.parquet');
    const fields = { reasoning: 'traces.0', level: 'level' };
    const result = await loadWith({ sources: { pool: { path: 'pool.parquet', fields } }, types: { level: 'BIGINT' } });
    expect(result.rows('dataset')[2]).toMatchObject({ question: 'Q2', reasoning: 't2', level: 2 });
  });

  it('several fields as one text', async () => {
    const rows = [
      { title: 'Lamp', body: { text: 'It is {dark}.' }, team: 'a', urgent: true },
      { title: 'Tent', body: { text: 'It leaks.' }, team: null, urgent: false },
    ];
    const fields = {
      question: { template: '{title}: {body.text} {title}!' },
      answer: { template: '{team}/{urgent}' },
      domain: { template: '{shop} {team}', optional: true },
    };
    const result = await loadFile('pool.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'), { fields });
    expect(result.rows('dataset')).toMatchObject([
      { question: 'Lamp: It is {dark}. Lamp!', answer: 'a/true', domain: null },
      { question: 'Tent: It leaks. Tent!', answer: null, domain: null },
    ]);
  });

  it('several sources in their order, and those files of a folder that are asked for', async () => {
    await mkdir(inside('parts'));
    for (const part of ['b', 'a']) await writeFile(inside('parts', `${part}.jsonl`), `{"problem":"${part}"}`);
    await writeFile(inside('parts', 'notes.txt'), 'not data');
    await writeFile(inside('one.jsonl'), lines);
    const sources = {
      parts: { path: 'parts', files: '*.jsonl', fields: { question: 'problem', domain: { value: 'letters' } } },
      one: { path: 'one.jsonl', limit: 1 },
    };
    expect(questions(await loadWith({ sources }))).toEqual(['Q0', 'a', 'b']);
    const result = await loadWith({ sources, order: ['parts', 'one'] });
    expect(result.rows('dataset').map((row) => [row.question, row.source, row.domain])).toEqual([
      ['a', 'parts', 'letters'],
      ['b', 'parts', 'letters'],
      ['Q0', 'one', null],
    ]);
  });

  it('no order that leaves a source out', () => {
    const given = { sources: { a: { path: 'a' }, b: { path: 'b' } }, order: ['b'] };
    const problems = load.check?.(load.options.parse(given), {} as never);
    expect(problems).toMatchObject([
      { path: 'order', message: 'order names b, and the sources are a, b.', hint: 'Name each source once.' },
    ]);
  });

  it('no file of a folder, soon, where a pattern with many stars fits none', async () => {
    await mkdir(inside('parts'));
    await writeFile(inside('parts', 'a'.repeat(60)), lines);
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
    [{ role: 'tool', content: '42' }],
    [{ role: 'assistant', content: null, tool_calls: [{ function: { name: 'add' } }] }],
    [{ role: 'assistant', content: 'I add.', tool_calls: [{ function: { name: 'add' } }] }],
    [{ role: 'assistant', content: null, function_call: { name: 'add', arguments: '{}' } }],
  ])('nothing in which a tool is called: %j', async (turn) => {
    const chat = [
      { role: 'user', content: 'Q' },
      { role: 'assistant', content: 'A', tool_calls: [], function_call: null },
    ];
    const rows = [[...chat, turn], chat].map((messages) => JSON.stringify({ messages })).join('\n');
    const source = { layout: 'messages' };
    await expect(loadFile('pool.jsonl', rows, source)).rejects.toMatchObject({
      code: 'tool_turns',
      message: expect.stringContaining('pool.jsonl:1: a tool is called'),
    });
    const dropped = await loadFile('pool.jsonl', rows, source, { missing: 'drop' });
    expect(dropped.events.at(-1)?.data).toMatchObject({ rowsOut: 1, dropped: { no_tool_free_turns: 1 } });
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

it('curation/load tells rows without a question from each other by all that they have', async () => {
  const idsOf = async (rows: readonly object[], fields: Options) => {
    const sources = { a: { path: 'pool.jsonl', fields }, b: { path: 'pool.jsonl', fields } };
    await writeFile(inside('pool.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
    const result = await loadWith({ sources, required: ['answer'], missing: 'drop' });
    expect(result.rows('decisions').map(({ id }) => id)).toEqual([null, null]);
    return result.rows('dataset').map(({ id }) => id);
  };
  const [level, of] = ['level', 'of'].map((field) => ({ field, optional: true }));
  const rows = [{ answer: '1' }, { question: ' ', answer: '2' }, { question: '' }, { answer: '2', level: 3, of: 'x' }];
  const ids = await idsOf(rows, { level, of });
  expect(new Set(ids).size).toBe(3);
  expect(ids.slice(3)).toEqual(ids.slice(0, 3));
  expect(await idsOf(rows, { of, level })).toEqual(ids);
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
