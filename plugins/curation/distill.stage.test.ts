import { memoryArtifact, memoryTable, runStage } from 'simmerkit/testing';
import { describe, expect, it } from 'vitest';
import { distillOptions } from './asking-options.js';
import { distill } from './distill.stage.js';
import { scriptedTrainer } from './scripted-trainer.fixture.js';
import { questionTable, reply, startTeacher, thought } from './teacher.fixture.js';

const teacher = startTeacher();

describe('curation/distill', () => {
  it('takes traces as servers send them, and keeps the gold answer', async () => {
    teacher.behave = (question) => {
      if (question === 'apart') return reply('4', { reasoning_content: ' two and two ' });
      if (question === 'vllm') return reply('4', { reasoning: 'two and two' });
      if (question === 'mistral') {
        const thinking = [{ type: 'text', text: 'two and two' }];
        return reply([
          { type: 'thinking', thinking },
          { type: 'text', text: '4' },
        ]);
      }
      return reply('<think>\ntwo and two\n</think>\n\n4');
    };
    const questions = ['apart', 'vllm', 'mistral', 'inline'];
    const { rows } = await teacher.distill(questionTable(...questions));
    expect(rows('dataset')).toEqual(
      questions.map((question) => ({
        id: `id-${question}`,
        question,
        gold: 'gold',
        reasoning: 'two and two',
        answer: '4',
      })),
    );
  });

  it('gives a server by default the time that the longest reply takes at 20 tokens a second', () => {
    const { maxTokens, timeoutMilliseconds } = distillOptions.parse({ url: 'http://localhost/v1', model: 'teacher' });
    expect(timeoutMilliseconds / 1000).toBeGreaterThan(maxTokens / 20);
  });

  it('sends what came before a question, and the system message of a row instead of its own', async () => {
    teacher.behave = thought;
    const history = [
      { role: 'user', content: 'Hello.' },
      { role: 'assistant', content: 'Hi!' },
    ];
    const columns = { id: 'VARCHAR', question: 'VARCHAR', history: 'STRUCT("role" VARCHAR, content VARCHAR)[]' };
    const chats = memoryTable(columns, [
      { id: 'a', question: 'plain', history: null },
      { id: 'b', question: 'chat', history },
      { id: 'c', question: 'own', history: [{ role: 'system', content: 'Be kind.' }, ...history] },
    ]);
    await teacher.distill(chats, { system: 'Be brief.' });
    const system = { role: 'system', content: 'Be brief.' };
    const asked = Object.fromEntries(teacher.requests.map(({ question, messages }) => [question, messages]));
    const last = (content: string) => ({ role: 'user', content });
    expect(asked).toEqual({
      plain: [system, last('plain')],
      chat: [system, ...history, last('chat')],
      own: [{ role: 'system', content: 'Be kind.' }, ...history, last('own')],
    });
    teacher.requests = [];
    await teacher.distill(
      memoryTable({ ...columns, history: 'VARCHAR[]' }, [{ id: 'd', question: 'other', history: ['Hello.'] }]),
    );
    expect(teacher.requests[0]?.messages).toEqual([last('other')]);
  });

  it('refuses rows with one id that ask different things, and asks once what is the same', async () => {
    const table = (...asked: readonly string[]) =>
      memoryTable(
        { id: 'VARCHAR', question: 'VARCHAR', prompt: 'VARCHAR' },
        asked.map((prompt) => ({ id: 'a', question: 'same', prompt })),
      );
    const { rows } = await teacher.distill(table('one', 'one'), { column: 'prompt' });
    expect(rows('dataset').map(({ answer }) => answer)).toEqual(['one!', 'one!']);
    expect(teacher.timesAsked('one')).toBe(1);
    await expect(teacher.distill(table('one', 'two'), { column: 'prompt' })).rejects.toMatchObject({
      code: 'invalid_problem',
      message: 'Rows with the same id, a, ask different things.',
    });
  });

  it('records refusals, cuts, missing traces and missing answers', async () => {
    teacher.behave = (question, _, response) => {
      if (question === 'refused') return reply('', { refusal: 'I will not.' });
      if (question === 'filtered') return reply('', {}, 'content_filter');
      if (question === 'cut') return reply('<think>on and on', {}, 'length');
      if (question === 'bare') return reply('4');
      if (question === 'thought') return reply('', { reasoning_content: 'two and two' });
      if (question === 'unclosed') return reply('<think>two and two');
      response.statusCode = 400;
      return { error: { message: 'too long' } };
    };
    const { rows, logged } = await teacher.distill(
      questionTable('refused', 'filtered', 'cut', 'bare', 'thought', 'unclosed', 'bad'),
    );
    expect(rows('dataset')).toEqual([]);
    const rules = '(refused 3, truncated 1, no_reasoning 1, no_answer 2)';
    expect(logged).toContainEqual({
      level: 'warning',
      message: expect.stringContaining(`No row is left of 7 ${rules}: the next stages have nothing to work on.`),
    });
    expect(rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
      ['refused', 'I will not.'],
      ['refused', 'filtered by the server'],
      ['truncated', 'cut after 1000 tokens'],
      ['no_reasoning', '4'],
      ['no_answer', 'ended (stop) after 1000 tokens'],
      ['no_answer', 'ended (stop) after 1000 tokens'],
      ['refused', expect.stringContaining('HTTP 400')],
    ]);
  });

  const eight = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;
  it.each([
    ['no_reasoning', reply('4'), '`withoutReasoning: keep`'],
    ['truncated', reply('<think>on and on', {}, 'length'), '`maxTokens`, 32768'],
  ])('warns while others are asked that the first eight replies are all dropped as %s', async (rule, first, remedy) => {
    teacher.behave = (question) => (question.startsWith('later') ? thought(question) : first);
    const { logged } = await teacher.distill(questionTable(...eight, 'later 1', 'later 2'), { concurrency: 1 });
    expect(logged.filter(({ level }) => level === 'warning')).toEqual([
      {
        level: 'warning',
        message: expect.stringMatching(`^The first 8 replies of r1 are all dropped as \`${rule}\`\\. .*${remedy}`),
      },
    ]);
  });

  it('does not warn of dropped replies where one of the first eight is kept', async () => {
    teacher.behave = (question) => (question === 'c' ? thought(question) : reply('4'));
    const { logged } = await teacher.distill(questionTable(...eight, 'later 1', 'later 2'), { concurrency: 1 });
    expect(logged.filter(({ level }) => level === 'warning')).toEqual([]);
  });

  it('keeps a reply with half a character, which tables cannot hold', async () => {
    teacher.behave = () => reply('4 \ud83d', { reasoning_content: 'two \udc00 and 😀' });
    const { rows } = await teacher.distill(questionTable('a'));
    expect(rows('dataset')).toMatchObject([{ answer: '4 \ufffd', reasoning: 'two \ufffd and 😀' }]);
  });

  it('has a trainer think, and drops what it cut or could not take', async () => {
    const trainer = scriptedTrainer((question) => {
      if (question === 'cut') return { thinking: 'on and on', answer: '', thinkingEnd: 'forced' };
      return { thinking: ` about ${question} `, answer: '4\n', thinkingEnd: 'natural' };
    });
    const long = 'x'.repeat(10_000);
    const result = await runStage(distill, {
      options: { trainer: 'teacher', thinkingFormat: 'r1', maxTokens: 500 },
      inputs: { dataset: questionTable('a', 'cut', long, 'b'), teacher: memoryArtifact('model', '/model') },
      scratchFolder: teacher.scratchFolder,
      trainer,
      seed: 5,
    });
    expect(result.rows('dataset').map(({ reasoning, answer, gold }) => [reasoning, answer, gold])).toEqual([
      ['about a', '4', 'gold'],
      ['about b', '4', 'gold'],
    ]);
    expect(result.rows('decisions').map((row) => row.rule)).toEqual([null, 'truncated', 'refused', null]);
    expect(trainer.requests[0]).toMatchObject({
      model: { kind: 'folder', folder: '/model' },
      sampling: { temperature: 0.6, topP: 0.95, maxAnswerTokens: 500, seed: 5 },
      thinkingFormat: { start: '<think>\n' },
      policies: [{ maxThinkingTokens: 500 }],
    });
    // Those that it answered are not asked again; the one that it cannot take costs nothing.
    await runStage(distill, {
      options: { trainer: 'teacher', thinkingFormat: 'r1', maxTokens: 500 },
      inputs: { dataset: questionTable('a', 'cut', long, 'b'), teacher: memoryArtifact('model', '/model') },
      scratchFolder: teacher.scratchFolder,
      trainer,
    });
    expect(trainer.requests.at(-1)?.prompts.map(({ id }) => id)).toEqual([`id-${long}`]);
  });

  it('takes what a model of a trainer writes before </think> for its trace', async () => {
    const trainer = scriptedTrainer(() => ({ answer: 'two and two\n</think>\n\n4' }));
    const options = { trainer: 'teacher' };
    const inputs = { dataset: questionTable('a'), teacher: memoryArtifact('model', '/model') };
    const { rows } = await runStage(distill, { options, inputs, scratchFolder: teacher.scratchFolder, trainer });
    expect(rows('dataset')[0]).toMatchObject({ reasoning: 'two and two', answer: '4' });
    await expect(
      runStage(distill, { options, inputs: { dataset: questionTable('b') }, trainer }),
    ).rejects.toMatchObject({
      code: 'model_missing',
      hint: expect.stringContaining('Add teacher:'),
    });
  });

  it('needs a price where the budget limits dollars', () => {
    const check = (more: object) =>
      distill.check?.(distillOptions.parse({ url: teacher.url, model: 'r1', ...more }), {
        recipeFolder: '.',
        isUsdLimited: true,
      });
    expect(check({})).toMatchObject([{ code: 'price_missing', path: 'price' }]);
    expect(check({ price: { inputPerMillion: 0, outputPerMillion: 0 } })).toEqual([]);
  });

  it('refuses a cap without a price', () => {
    const parsed = distillOptions.parse({ url: teacher.url, model: 'r1', maxDollars: 1 });
    expect(distill.check?.(parsed, { recipeFolder: '.' })).toMatchObject([{ code: 'price_missing' }]);
  });
});
