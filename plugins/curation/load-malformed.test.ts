import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadFolder, questions } from './load.fixture.js';

const { inside, loadWith, loadFile } = loadFolder();

describe('curation/load leaves out what is malformed, where that is asked for, and records it:', () => {
  const drop = { malformed: 'drop' };
  const recorded = (result: Awaited<ReturnType<typeof loadFile>>) =>
    result.rows('decisions').map(({ rule, evidence }) => `${rule} ${evidence}`);

  it('lines that are no JSON, no object, no UTF-8 and half a character', async () => {
    const content = Buffer.concat([
      Buffer.from('{"question":"a"}\n{"question":"b\n\n[1]\n{"question":"'),
      Buffer.from([0xff]),
      Buffer.from('"}\n{"question":"\\ud83d"}\n{"question":"ä"}\n'),
    ]);
    const result = await loadFile('pool.jsonl', content, {}, drop);
    expect(questions(result)).toEqual(['a', 'ä']);
    expect(recorded(result)).toEqual([
      expect.stringContaining('malformed_data pool: pool.jsonl:2: this is not JSON: '),
      'malformed_data pool: pool.jsonl:4: a row is an object, and this is a list.',
      'not_utf8 pool: pool.jsonl:5: this is not UTF-8 text.',
      expect.stringContaining('half_character pool: pool.jsonl:6: column `question` holds half a character'),
    ]);
    const [funnel] = result.events.filter(({ type }) => type === 'funnel.counted');
    expect(funnel?.data).toMatchObject({
      rowsIn: 6,
      rowsOut: 2,
      dropped: { malformed_data: 2, not_utf8: 1, half_character: 1 },
    });
  });

  it('lines that have a key twice, of which one value would be lost', async () => {
    const content = '{"question":"a"}\n{"question":"b","question":"c"}\n';
    const message = 'pool.jsonl:2:17: the key "question" stands twice in one object.';
    await expect(loadFile('pool.jsonl', content)).rejects.toMatchObject({
      code: 'repeated_key',
      message: expect.stringContaining(message),
    });
    const result = await loadFile('pool.jsonl', content, {}, drop);
    expect(questions(result)).toEqual(['a']);
    expect(recorded(result)).toEqual([
      'repeated_key pool: pool.jsonl:2: the key "question" stands twice in one object.',
    ]);
  });

  it('lines of a file that several threads read', async () => {
    const content = Array.from({ length: 4000 }, (_, at) =>
      JSON.stringify({ question: `${at} ${'x'.repeat(10_000)}` }),
    );
    content[3900] = '{"question":"';
    const result = await loadFile('pool.jsonl', content.join('\n'), {}, drop);
    expect(recorded(result)).toEqual([expect.stringContaining('malformed_data pool: pool.jsonl:3901: ')]);
    expect(result.rows('dataset')).toHaveLength(3999);
  });

  it('files of one object, of which each is a row', async () => {
    for (const [name, content] of Object.entries({ a: '{"question":"a"}', b: '{"question":', c: '{"question":"c"}' }))
      await writeFile(inside(`${name}.json`), content);
    const result = await loadWith({ sources: { pool: { path: '*.json' } }, ...drop });
    expect(questions(result)).toEqual(['a', 'c']);
    expect(recorded(result)).toEqual([expect.stringContaining('malformed_data pool: b.json: this is not JSON')]);
  });

  it('rows of CSV with too many fields', async () => {
    const result = await loadFile('pool.csv', 'question,answer\na,b\nc,d,e\nf,g\nh\n', {}, drop);
    expect(questions(result)).toEqual(['a', 'f']);
    expect(recorded(result)).toEqual([
      expect.stringContaining('malformed_data pool: pool.csv:3: Invalid Record Length'),
      expect.stringContaining('malformed_data pool: pool.csv:5: Invalid Record Length'),
    ]);
  });

  it('rows of CSV behind quoted line breaks, by the lines that they begin on and in their order', async () => {
    for (const end of ['\n', '\r\n']) {
      const content = [
        'question,answer',
        '"a',
        'b",1',
        'c,',
        '',
        '"d',
        '',
        'e",',
        '"f',
        'g",1,2',
        'h,3',
        'i,',
        '',
      ].join(end);
      const options = { ...drop, missing: 'drop', required: ['question', 'answer'] };
      const result = await loadFile('pool.csv', content, {}, options);
      expect(recorded(result)).toEqual([
        'no_answer pool: pool.csv:4',
        'no_answer pool: pool.csv:6',
        'malformed_data pool: pool.csv:9: Invalid Record Length: columns length is 2, got 3.',
        'no_answer pool: pool.csv:12',
      ]);
    }
  });

  it('and counts what is malformed behind the first rows of a CSV file for none of them', async () => {
    const result = await loadFile('pool.csv', 'question,answer\na,1\nb,2\nc\nd,4\n', { limit: 2 }, drop);
    expect(questions(result)).toEqual(['a', 'b']);
    expect(recorded(result)).toEqual([]);
  });

  it('but neither a quote that may hide other rows, nor a list or a file as a whole', async () => {
    const load = (name: string, content: string | Uint8Array) => loadFile(name, content, {}, drop);
    await expect(load('pool.csv', 'question\na\n"b"c\nd\n')).rejects.toMatchObject({ code: 'malformed_data' });
    await expect(load('pool.csv', 'question\n"a\nb\n')).rejects.toMatchObject({ code: 'malformed_data' });
    await expect(load('pool.json', '[{"question":"a"}')).rejects.toMatchObject({ code: 'malformed_data' });
    await expect(load('pool.jsonl', Buffer.from('\ufeff{}\n', 'utf16le'))).rejects.toMatchObject({
      message: expect.stringContaining('this is UTF-16 text'),
    });
  });

  it('and never all rows of a source', async () => {
    await expect(loadFile('pool.jsonl', 'a\nb\n', {}, drop)).rejects.toMatchObject({
      code: 'no_rows',
      message: expect.stringContaining('No row of source pool is sound; 2 were read. The first: pool: pool.jsonl:1: '),
    });
  });
});
