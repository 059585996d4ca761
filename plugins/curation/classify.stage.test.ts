import { memoryArtifact, memoryTable, runStage } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startChatServer } from '../../test/chat-server.js';
import type { HttpServer } from '../../test/http-server.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { classIn, classify } from './classify.stage.js';
import { scriptedTrainer } from './scripted-trainer.fixture.js';

let scratchFolder: string;
let server: HttpServer;
/** What the server answers to a question at an attempt: a reply, or a status. */
let answer: (question: string, attempt: number) => string | number;
let asked: string[];

beforeEach(async () => {
  scratchFolder = await temporaryFolder();
  asked = [];
  server = await startChatServer(({ messages, seed }, response) => {
    const question = /Problem:\n(.*)\n/.exec(messages[0]?.content ?? '')?.[1] ?? '';
    asked.push(question);
    const said = answer(question, seed ?? 0);
    response.statusCode = typeof said === 'number' ? said : 200;
    return { choices: [{ message: { content: said } }] };
  });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

const dataset = memoryTable(
  { id: 'VARCHAR', question: 'VARCHAR' },
  ['primes', 'graphs', 'nonsense', 'late'].map((question) => ({ id: `id-${question}`, question })),
);
const run = (options: Readonly<Record<string, unknown>> = {}) =>
  runStage(classify, { options: { url: server.url, model: 'judge', ...options }, inputs: { dataset }, scratchFolder });

describe('curation/classify', () => {
  it('says once of all attempts that the server does not count tokens', async () => {
    answer = () => 'I do not know.';
    const { logged } = await run({ price: { inputPerMillion: 1, outputPerMillion: 1 } });
    const warnings = logged.filter(({ level }) => level === 'warning').map(({ message }) => message);
    expect(warnings.filter((message) => message.includes('count'))).toHaveLength(1);
  });

  it('takes the class on the last line, asks again where there is none, and never guesses', async () => {
    answer = (question, attempt) => {
      if (question === 'primes') return 'It is about primes.\n**11**';
      if (question === 'graphs') return 'Combinatorics';
      if (question === 'late') return attempt === 0 ? '11 or 05' : 'Code: 05';
      return 'I would say 11, or perhaps 05.';
    };
    const { rows } = await run();
    expect(rows('dataset').map((row) => [row.question, row.domain_code, row.domain])).toEqual([
      ['primes', '11', 'Number theory'],
      ['graphs', '05', 'Combinatorics'],
      ['nonsense', null, null],
      ['late', '05', 'Combinatorics'],
    ]);
    expect(rows('decisions').map((row) => row.rule)).toEqual([
      'classified',
      'classified',
      'unclassified',
      'classified',
    ]);
    expect(asked.filter((question) => question === 'nonsense')).toHaveLength(3);
    const dropped = await run({ unclassified: 'drop' });
    expect(dropped.rows('dataset')).toHaveLength(3);
  });

  it('asks again only for what it was not answered before it failed', async () => {
    answer = (question) => (question === 'late' ? 401 : '11');
    await expect(run({ concurrency: 1 })).rejects.toMatchObject({ code: 'endpoint_refused' });
    expect(asked).toEqual(['primes', 'graphs', 'nonsense', 'late']);
    asked = [];
    answer = () => '05';
    const { rows } = await run({ concurrency: 1 });
    expect(asked).toEqual(['late']);
    expect(rows('dataset').map((row) => row.domain_code)).toEqual(['11', '11', '11', '05']);
  });

  it('goes on where a server fails for a while', async () => {
    let failures = 1;
    answer = () => (failures-- > 0 ? 503 : '11');
    expect((await run()).rows('dataset').every((row) => row.domain_code === '11')).toBe(true);
  });

  it('records a question that the server does not take, and asks it no second time', async () => {
    answer = (question) => (question === 'late' ? 400 : '11');
    const { rows } = await run();
    expect(rows('decisions').at(-1)).toMatchObject({
      kept: true,
      rule: 'unclassified',
      evidence: expect.stringContaining('HTTP 400'),
    });
    expect(asked.filter((question) => question === 'late')).toHaveLength(1);
  });

  it('takes domains from a column, and asks only where it is empty', async () => {
    answer = () => '05';
    const subjects = { primes: 'number theory', graphs: 'Puzzles', nonsense: null, late: ' ' };
    const withSubjects = memoryTable(
      { id: 'VARCHAR', question: 'VARCHAR', subject: 'VARCHAR' },
      Object.entries(subjects).map(([question, subject]) => ({ id: `id-${question}`, question, subject })),
    );
    const of = async (options: Readonly<Record<string, unknown>>) =>
      (await runStage(classify, { options, inputs: { dataset: withSubjects }, scratchFolder }))
        .rows('dataset')
        .map((row) => [row.domain_code, row.domain]);
    const known = [
      ['11', 'Number theory'],
      [null, 'Puzzles'],
    ];
    expect(await of({ fromColumn: 'subject' })).toEqual([...known, [null, null], [null, null]]);
    expect(asked).toEqual([]);
    const combinatorics = ['05', 'Combinatorics'];
    const endpoint = { url: server.url, model: 'judge' };
    expect(await of({ fromColumn: 'subject', ...endpoint })).toEqual([...known, combinatorics, combinatorics]);
    expect(asked.toSorted()).toEqual(['late', 'nonsense']);
  });

  it('has a trainer classify, and asks it again where it named no class', async () => {
    const trainer = scriptedTrainer((question, id) => {
      if (question.includes('nonsense')) return { answer: 'Who knows?' };
      return { answer: question.includes('late') && !id.endsWith('/1') ? 'Hmm.' : '11' };
    });
    const result = await runStage(classify, {
      options: { trainer: 'judge', attempts: 2 },
      inputs: { dataset, classifier: memoryArtifact('model', '/model') },
      scratchFolder,
      trainer,
    });
    expect(result.rows('dataset').map((row) => row.domain_code)).toEqual(['11', '11', null, '11']);
    expect(trainer.requests.map(({ prompts }) => prompts.map(({ id }) => id))).toEqual([
      ['id-primes', 'id-graphs', 'id-nonsense', 'id-late'],
      ['id-nonsense/1', 'id-late/1'],
    ]);
  });

  it('wants a column, an API or a trainer', () => {
    const problems = (options: Readonly<Record<string, unknown>>) =>
      classify.check?.(classify.options.parse(options), { recipeFolder: '.' });
    expect(problems({})).toMatchObject([{ path: 'url', code: 'model_missing' }]);
    expect(problems({ url: 'http://localhost/v1' })).toMatchObject([{ path: 'model', code: 'model_missing' }]);
    expect(problems({ url: 'http://localhost/v1', model: 'm', trainer: 't' })).toMatchObject([{ code: 'two_models' }]);
    expect(problems({ fromColumn: 'subject' })).toEqual([]);
  });

  it('takes a taxonomy of its own', async () => {
    answer = () => 'phys: Physics';
    const taxonomy = [
      { code: 'phys', title: 'Physics' },
      { code: 'chem', title: 'Chemistry' },
    ];
    expect((await run({ taxonomy })).rows('dataset')[0]).toMatchObject({ domain: 'Physics', domain_code: 'phys' });
  });
});

it.each([
  ['11', '11'],
  ['Reasons.\n\n`11`.', '11'],
  ['11: Number theory', '11'],
  ['number THEORY', '11'],
  ['Class: 11', '11'],
  ['11, 05', null],
  ['The class is 11', null],
  ['', null],
  ['99', null],
])('reads %j as %s', (reply, expected) => {
  const classes = [
    { code: '11', title: 'Number theory' },
    { code: '05', title: 'Combinatorics' },
  ];
  expect(classIn(reply, classes)).toBe(expected);
});
