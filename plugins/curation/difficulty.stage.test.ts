import type { Grader } from 'simmerkit';
import { memoryArtifact, memoryTable, runStage } from 'simmerkit/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startChatServer } from '../../test/chat-server.js';
import type { HttpServer } from '../../test/http-server.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { difficulty } from './difficulty.stage.js';
import { scriptedTrainer } from './scripted-trainer.fixture.js';

let scratchFolder: string;
let server: HttpServer;
let asked: string[];
/** What the server answers to a question when it is asked for the nth time, or a status. */
let answer: (question: string, time: number) => string | number;

beforeEach(async () => {
  scratchFolder = await temporaryFolder();
  asked = [];
  server = await startChatServer(({ messages }, response) => {
    const question = messages.at(-1)?.content ?? '';
    asked.push(question);
    const said = answer(question, asked.filter((one) => one === question).length);
    response.statusCode = typeof said === 'number' ? said : 200;
    return { choices: [{ finish_reason: 'stop', message: { content: `<think>hm</think>${said}` } }] };
  });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** Right is what is the same. */
class EqualGrader implements Grader {
  graded = 0;
  readonly questions = new Set<string | undefined>();

  grade(items: Parameters<Grader['grade']>[0]) {
    this.graded += items.length;
    for (const { question } of items) this.questions.add(question);
    return Promise.resolve(
      items.map(({ id, gold, answer: said }) => ({
        id,
        verdict: said === gold ? ('right' as const) : ('wrong' as const),
        parsedAnswer: said,
        parsedGold: gold,
        explanation: `${said} and ${gold}`,
      })),
    );
  }
}

const dataset = memoryTable({ id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' }, [
  { id: 'a', question: 'easy', answer: '1' },
  { id: 'b', question: 'even', answer: '1' },
  { id: 'c', question: 'hard', answer: '1' },
  { id: 'd', question: 'unknown', answer: null },
]);
const byQuestion = (question: string, time: number) =>
  question === 'easy' || (question === 'even' && time % 2) ? '1' : '0';

describe('curation/difficulty with solvers', () => {
  it('has each model attempt each problem as often as asked, side by side, and drops by pass rate', async () => {
    answer = byQuestion;
    const grader = new EqualGrader();
    const trainer = scriptedTrainer((question) => ({ answer: question === 'easy' ? '1' : '0' }));
    const options = {
      preset: 'sometimes',
      attempts: 4,
      temperature: 0.7,
      solvers: [
        { label: 'served', url: server.url, model: 'm', price: { inputPerMillion: 1, outputPerMillion: 1 } },
        { label: 'trained', trainer: 'student' },
      ],
    };
    const inputs = { dataset, models: [memoryArtifact('model', '/student')] };
    const run = () => runStage(difficulty, { options, inputs, scratchFolder, trainer, grader });
    const { rows, events } = await run();
    expect(rows('dataset').map((row) => row.id)).toEqual(['b', 'd']);
    expect(rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
      ['too_easy', 'served was right in 4 of 4'],
      [null, 'served was right in 2 of 4; trained was right in 0 of 4'],
      ['too_hard', 'served was right in 0 of 4; trained was right in 0 of 4'],
      [null, 'no model answered it'],
    ]);
    expect(rows('attempts')).toHaveLength(3 * 4 * 2);
    expect(rows('attempts')[0]).toEqual({
      id: 'served/a/0',
      prompt_id: 'a',
      question: 'easy',
      gold: '1',
      model: 'served',
      sample_index: 0,
      thinking: 'hm',
      answer: '1',
      finish_reason: 'stop',
      extracted: '1',
      verdict: 'right',
      explanation: '1 and 1',
    });
    const measured = events.flatMap(({ type, data }) => (type === 'metric.measured' ? [[data.name, data.value]] : []));
    expect(measured).toContainEqual(['stage.served.right', 0.5]);
    expect(measured).toContainEqual(['stage.trained.right', 1 / 3]);
    const { data: progress } = events.findLast(({ type, data }) => type === 'stage.progressed' && 'figures' in data)!;
    expect(progress).toMatchObject({ unit: 'questions', figures: { dollars: expect.any(Number) } });
    expect(trainer.requests[0]?.model).toEqual({ kind: 'folder', folder: '/student' });

    // A later attempt of the stage asks and grades nothing again, and makes the same.
    const before = { asked: asked.length, graded: grader.graded };
    const again = await run();
    expect({ asked: asked.length, graded: grader.graded }).toEqual(before);
    expect(again.rows('attempts')).toEqual(rows('attempts'));
  });

  it('tells the grader the question as the models were asked', async () => {
    answer = () => '1';
    const options = { promptTemplate: 'Be brief: {question}', solvers: [{ url: server.url, model: 'm' }] };
    const grader = new EqualGrader();
    await runStage(difficulty, { options, inputs: { dataset }, scratchFolder, grader });
    expect([...grader.questions]).toEqual(['Be brief: easy', 'Be brief: even', 'Be brief: hard']);
    expect(asked.toSorted()).toEqual([...grader.questions]);
  });

  it('has problems without a right answer attempted where the grader needs none', async () => {
    answer = byQuestion;
    const open = memoryTable({ id: 'VARCHAR', question: 'VARCHAR' }, [
      { id: 'a', question: 'easy' },
      { id: 'c', question: 'hard' },
    ]);
    const grader: Grader = {
      needsGold: false,
      grade: async (items) =>
        items.map(({ id, gold, answer: said }) => ({
          ...{ id, verdict: said === '1' ? 'right' : 'wrong', explanation: '' },
          ...{ parsedAnswer: said, parsedGold: gold },
        })),
    };
    const options = { solvers: [{ label: 'served', url: server.url, model: 'm' }] };
    const { rows } = await runStage(difficulty, { options, inputs: { dataset: open }, scratchFolder, grader });
    expect(rows('attempts').map(({ prompt_id, gold, verdict }) => [prompt_id, gold, verdict])).toEqual([
      ['a', null, 'right'],
      ['c', null, 'wrong'],
    ]);
    expect(rows('dataset').map(({ id }) => id)).toEqual(['c']);
    const needing = runStage(difficulty, {
      ...{ options, inputs: { dataset: open }, grader: new EqualGrader() },
      scratchFolder: await temporaryFolder(),
    });
    await expect(needing).rejects.toMatchObject({ code: 'missing_column' });
    // Before an environment is made for the grader: none is given here.
    const misspelt = runStage(difficulty, {
      ...{ options: { ...options, goldColumn: 'anwser' }, inputs: { dataset: open } },
      scratchFolder: await temporaryFolder(),
    });
    await expect(misspelt).rejects.toMatchObject({
      code: 'missing_column',
      message: expect.stringContaining('`anwser`'),
    });
  });

  it('keeps what other models were paid for when one fails, and asks only for the rest', async () => {
    answer = (question) => (question === 'hard' ? 401 : '0');
    const trainer = scriptedTrainer(() => ({ answer: '0' }));
    const solvers = [
      { label: 'served', url: server.url, model: 'm', concurrency: 1 },
      { label: 'trained', trainer: 'student' },
    ];
    const inputs = { dataset, models: [memoryArtifact('model', '/student')] };
    const run = () =>
      runStage(difficulty, { options: { solvers }, inputs, scratchFolder, trainer, grader: new EqualGrader() });
    await expect(run()).rejects.toMatchObject({ code: 'endpoint_refused' });
    answer = () => '0';
    asked = [];
    const { rows } = await run();
    expect(asked).toEqual(['hard']);
    expect(rows('dataset')).toHaveLength(4);
  });

  it('counts no attempt that was refused: a problem of which all are was not answered', async () => {
    answer = (question, time) => (question === 'hard' || (question === 'even' && time === 1) ? 400 : '1');
    const options = { attempts: 2, temperature: 0.7, solvers: [{ url: server.url, model: 'm' }], unanswered: 'drop' };
    const inputs = { dataset };
    const run = await runStage(difficulty, { options, inputs, scratchFolder, grader: new EqualGrader() });
    expect(run.rows('decisions').map(({ id, rule, evidence }) => [id, rule, evidence])).toEqual([
      ['a', 'too_easy', 'm was right in 2 of 2'],
      ['b', 'too_easy', 'm was right in 1 of 1'],
      ['c', 'not_answered', null],
      ['d', 'not_answered', null],
    ]);
    const measured = run.events.flatMap(({ type, data }) => (type === 'metric.measured' ? [data] : []));
    expect(measured).toContainEqual(
      expect.objectContaining({ name: expect.stringMatching(/m\.right$/), value: 1, count: 3 }),
    );
  });

  it('keeps, as s1, what every model is wrong about, unless options say otherwise', async () => {
    answer = byQuestion;
    const kept = async (options: Readonly<Record<string, unknown>>) =>
      (
        await runStage(difficulty, {
          options: { solvers: [{ url: server.url, model: 'm' }], ...options },
          inputs: { dataset },
          grader: new EqualGrader(),
        })
      )
        .rows('dataset')
        .map((row) => row.id);
    expect(await kept({})).toEqual(['c', 'd']);
    asked = [];
    expect(await kept({ attempts: 2, maximumRight: 0.5, unanswered: 'drop' })).toEqual(['b', 'c']);
  });

  it('names what contradicts itself in its options', async () => {
    const codes = async (options: Readonly<Record<string, unknown>>, graded = 0) => {
      const where = { recipeFolder: '.', inputs: { dataset: 1, models: 0, graded } };
      const problems = await difficulty.check?.(difficulty.options.parse(options), where);
      return problems?.map(({ path, code }) => [path, code]);
    };
    const solver = { url: 'http://localhost/v1', model: 'm' };
    expect(await codes({})).toEqual([['', 'nobody_attempts']]);
    expect(await codes({}, 1)).toEqual([]);
    expect(await codes({ solvers: [solver, solver] })).toEqual([['solvers.1', 'solver_twice']]);
    expect(await codes({ solvers: [{ ...solver, maxDollars: 1 }] })).toEqual([
      ['solvers.0.maxDollars', 'price_missing'],
    ]);
    expect(await codes({ solvers: [{}] })).toEqual([['solvers.0.url', 'model_missing']]);
    expect(await codes({ solvers: [solver], attempts: 4, temperature: 0 })).toEqual([['attempts', 'equal_samples']]);
    expect(await codes({ minimumRight: 0.5 }, 1)).toEqual([['minimumRight', 'nothing_kept']]);
  });
});
