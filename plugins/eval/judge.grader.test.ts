import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { GraderContext } from 'simmerkit';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { startChatServer } from '../../test/chat-server.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { judge, verdictIn } from './judge.grader.js';

let folder: string;
let graders: AsyncDisposable[];
beforeEach(async () => {
  folder = await temporaryFolder();
  graders = [];
});
afterEach(async () => {
  for (const grader of graders) await grader[Symbol.asyncDispose]();
});

interface Said {
  readonly status?: number;
  readonly text: unknown;
  readonly finish?: string;
}

/** An endpoint that answers what it is told, by the answer that is judged. */
async function serving(reply: (content: string, asked: number) => Said | Promise<Said>) {
  const asked: string[] = [];
  const server = await startChatServer(async ({ messages }, response) => {
    const { content } = messages[0]!;
    asked.push(content);
    const { status = 200, text, finish = 'stop' } = await reply(content, asked.filter((one) => one === content).length);
    response.writeHead(status, { 'content-type': 'application/json' });
    return { choices: [{ finish_reason: finish, message: { role: 'assistant', content: text } }] };
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { asked, url: server.url };
}

const unlimited = { isLimited: false, reserve: async () => ({ settle: () => {} }) };

/** @param run whose folder it has, beside those of others */
async function started(
  options: Readonly<Record<string, unknown>>,
  { run = 'run', spending = unlimited }: { readonly run?: string; readonly spending?: object } = {},
) {
  const told: string[] = [];
  const warnings: string[] = [];
  const context = {
    signal: new AbortController().signal,
    log: {
      info: (message: string) => void told.push(message),
      warning: (message: string) => void warnings.push(message),
    },
    spending,
    async keptFolder(of: object) {
      const kept = join(folder, JSON.stringify(of), run);
      await mkdir(kept, { recursive: true });
      return kept;
    },
  } as unknown as GraderContext;
  const grader = await judge.start(judge.options.parse({ model: 'judge', ...options }), context);
  graders.push(grader);
  return { grader, told, warnings };
}

async function judging(reply: Parameters<typeof serving>[0]) {
  const { asked, url } = await serving(reply);
  return { ...(await started({ url })), asked, url };
}

it.each([
  ['Yes', true],
  ['They agree.\n\n**Yes**', true],
  ['They differ.\nno.', false],
  ['Yes, they are equal', null],
  ['Yes\nor rather not', null],
  ['', null],
])('reads the last line of %j as %s', (reply, verdict) => {
  expect(verdictIn(reply)).toBe(verdict);
});

it.each([
  ['{answer}?', 'beside the {answer}, a judge is sent {gold}, {question} or both.'],
  ['Is {gold} right to {question}?', expect.stringContaining('{answer}')],
])('takes no prompt such as %j, which has nothing to judge', (prompt, message) => {
  const { error } = judge.options.safeParse({ url: 'http://x', model: 'm', prompt });
  expect(error?.issues).toMatchObject([{ path: ['prompt'], message }]);
});

it.each([
  [undefined, true],
  ['{question} {gold} {answer}', true],
  ['Is {answer} polite to {question}', false],
])('needs gold answers by the prompt %j: %s', (prompt, needs) => {
  const options = judge.options.parse({ url: 'http://x', model: 'm', ...(prompt === undefined ? {} : { prompt }) });
  expect(judge.needsGold?.(options)).toBe(needs);
});

describe('the question', () => {
  const item = (id: string, question?: string) => ({
    ...{ id, gold: '7', answer: 'seven' },
    ...(question === undefined ? {} : { question }),
  });

  it('is shown to the judge by the default prompt where it is known', async () => {
    const { grader, asked } = await judging(() => ({ text: 'Yes' }));
    await grader.grade([item('0', 'What is {gold} + $& {answer}?'), item('1'), item('2', ' ')]);
    const [known, unknown] = ['Question: What is {gold} + $& {answer}?\n\n', ''].map(
      (question) =>
        'Is the answer below equivalent to the correct answer? Trivial simplifications and formatting do not matter.\n\n' +
        `${question}Correct answer: 7\n\nAnswer: seven\n\n` +
        'Explain briefly. Then write only Yes or No on the last line.',
    );
    expect(asked.toSorted()).toEqual([unknown, known].toSorted());
  });

  it('may stand in for a gold answer in a prompt', async () => {
    const { url, asked } = await serving(() => ({ text: 'Yes' }));
    const { grader } = await started({ url, prompt: 'Is {answer} polite to {question}' });
    expect(await grader.grade([item('0', 'Hello?')])).toMatchObject([{ verdict: 'right' }]);
    expect(asked).toEqual(['Is seven polite to Hello?']);
  });

  it('that the prompt has and nobody knows makes an answer unparsed, and fails where none is known', async () => {
    const { url, asked } = await serving(() => ({ text: 'Yes' }));
    const { grader, warnings } = await started({ url, prompt: '{question} {gold} {answer}' });
    const unknown = Array.from({ length: 20 }, (_, index) => item(String(index)));
    await expect(grader.grade(unknown)).rejects.toMatchObject({ code: 'question_missing' });
    expect(asked).toEqual([]);
    const grades = await grader.grade([...unknown, item('last', 'What?')]);
    expect(grades.map(({ verdict }) => verdict)).toEqual([...unknown.map(() => 'unparsed'), 'right']);
    expect(grades[1]?.explanation).toContain('not known of the answer 1.');
    await grader.grade([item('later')]);
    expect(warnings.filter((warning) => warning.includes('{question}'))).toEqual([
      'The judge is to be sent the {question}, which is not known of the answer 0. It is unparsed, as are all such answers. ' +
        'Grade rows that have a column `question`, or leave {question} out of the `prompt` of eval/judge.',
    ]);
    expect(asked).toEqual(['What? 7 seven']);
  });

  it.each([
    ['another question', {}, 'Who?', 1],
    ['no question', {}, undefined, 1],
    ['another question that the prompt does not have', { prompt: '{gold} or {answer}?' }, 'Who?', 0],
  ])('asks again where a later run has %s', async (_, options, later, more) => {
    const { url, asked } = await serving(() => ({ text: 'Yes' }));
    for (const [run, question] of [
      ['first', 'What?'],
      ['same', 'What?'],
      ['later', later],
    ] as const) {
      const { grader } = await started({ url, ...options }, { run });
      await grader.grade([item('0', question)]);
      await grader[Symbol.asyncDispose]();
    }
    expect(asked).toHaveLength(1 + more);
  });
});

it('grades by the last line, asks again where it is neither, and guesses nothing', async () => {
  const { grader, asked } = await judging((content, times) => {
    if (content.includes('Answer: seven')) return { text: [{ type: 'text', text: 'Seven is 7.\nYes' }] };
    if (content.includes('Answer: eight')) return times < 2 ? { text: 'Hm.' } : { text: 'No' };
    return { text: 'I cannot say.' };
  });
  const items = ['seven', 'eight', '{gold}'].map((answer, index) => ({ id: String(index), gold: '7', answer }));
  const grades = await grader.grade(items);
  expect(grades.map(({ id, verdict }) => [id, verdict])).toEqual([
    ['0', 'right'],
    ['1', 'wrong'],
    ['2', 'unparsed'],
  ]);
  expect(grades[0]?.explanation).toContain('Seven is 7.');
  expect(asked).toHaveLength(1 + 2 + 3);
  // A placeholder in an answer is no placeholder.
  expect(asked.filter((content) => content.includes('Answer: {gold}'))).toHaveLength(3);
});

it('keeps no reply that the server broke off: a later run asks for it again', async () => {
  const { url, asked } = await serving((_, times) =>
    times < 2 ? { text: 'They seem', finish: 'abort' } : { text: 'They are equal.\nYes' },
  );
  for (const [run, verdict] of [
    ['first', 'unparsed'],
    ['later', 'right'],
  ] as const) {
    const { grader } = await started({ url, attempts: 1 }, { run });
    expect((await grader.grade([{ id: '0', gold: '7', answer: 'seven' }]))[0]?.verdict).toBe(verdict);
  }
  expect(asked).toHaveLength(2);
});

it('asks once what two runs of one process ask at the same time', async () => {
  const { url, asked } = await serving(() => ({ text: 'Yes' }));
  const runs = [await started({ url }, { run: 'first' }), await started({ url }, { run: 'other' })];
  const answers = ['a', 'b', 'c'].map((answer, index) => ({ id: String(index), gold: '7', answer }));
  const grades = await Promise.all(runs.map(({ grader }) => grader.grade(answers)));
  expect(grades.flat().map(({ verdict }) => verdict)).toEqual(Array.from({ length: 6 }, () => 'right'));
  expect(asked).toHaveLength(3);
});

it('asks again where the server is busy, and names a server that refuses', async () => {
  const { grader } = await judging((_, times) => (times < 2 ? { status: 503, text: '' } : { text: 'Yes' }));
  expect((await grader.grade([{ id: '0', gold: '1', answer: '1' }]))[0]?.verdict).toBe('right');
  const refusing = await judging(() => ({ status: 401, text: '' }));
  await expect(refusing.grader.grade([{ id: '0', gold: '2', answer: '2' }])).rejects.toMatchObject({
    code: 'endpoint_refused',
    message: expect.stringContaining('HTTP 401'),
  });
});

it('counts an answer that the server does not take as unparsed, and fails where it takes none', async () => {
  const { grader, asked } = await judging((content) =>
    content.includes('filtered') ? { status: 400, text: '' } : { text: 'Yes' },
  );
  const answers = ['filtered', 'seven', 'eight'].map((answer, index) => ({ id: String(index), gold: '7', answer }));
  const grades = await grader.grade(answers);
  expect(grades.map(({ verdict }) => verdict)).toEqual(['unparsed', 'right', 'right']);
  expect(grades[0]?.explanation).toContain('HTTP 400');
  expect(asked).toHaveLength(3);
  const { url, asked: refused } = await serving(() => ({ status: 400, text: '' }));
  const other = await started({ url, concurrency: 1 }, { run: 'other' });
  await expect(other.grader.grade([{ id: '0', gold: '1', answer: '1' }])).rejects.toMatchObject({
    code: 'endpoint_refused',
  });
  const many = Array.from({ length: 20 }, (_, index) => ({ id: String(index), gold: '1', answer: `a${index}` }));
  await expect(other.grader.grade(many)).rejects.toMatchObject({ code: 'endpoint_refused' });
  expect(refused).toHaveLength(1 + 8);
});

it('sets aside the most that each question can cost, and says what it did cost', async () => {
  const { url } = await serving(() => ({ text: 'Yes' }));
  const told: (number | undefined)[] = [];
  const spending = {
    isLimited: true,
    reserve: async ({ usd }: { usd: number | undefined }) => {
      told.push(usd);
      return { settle: (spent: { usd?: number }) => void told.push(spent.usd) };
    },
  };
  const price = { inputPerMillion: 0, outputPerMillion: 1000 };
  const { grader, warnings } = await started({ url, maxTokens: 500, price }, { spending });
  await grader.grade([{ id: '0', gold: '1', answer: '1' }]);
  // This server does not count tokens: then it is the most.
  expect(told).toEqual([0.5, 0.5]);
  const kept = await readFile(join(folder, JSON.stringify({ model: 'judge' }), 'run', 'replies.jsonl'), 'utf8');
  expect(JSON.parse(kept)).toMatchObject({ outputTokens: 500, dollars: 0.5 });
  expect(warnings).toEqual([expect.stringContaining('does not say how many tokens a reply took')]);
});

describe('what a judge was paid for', () => {
  const items = (...answers: readonly string[]) =>
    answers.map((answer, index) => ({ id: String(index), gold: '7', answer }));
  /** Grades as one run, to its end. */
  async function judged(run: string, options: Readonly<Record<string, unknown>>, ...answers: readonly string[]) {
    const { grader, told } = await started(options, { run });
    const grades = await grader.grade(items(...answers));
    await grader[Symbol.asyncDispose]();
    return { verdicts: grades.map(({ verdict }) => verdict), told };
  }

  it('is asked once for samples that answer alike', async () => {
    const { url, asked } = await serving((content) => ({ text: content.includes('seven') ? 'Yes' : 'No' }));
    const { verdicts } = await judged('run', { url }, 'seven', 'seven', 'eight', 'seven', 'eight', 'seven');
    expect(verdicts).toEqual(['right', 'right', 'wrong', 'right', 'wrong', 'right']);
    expect(asked).toHaveLength(2);
  });

  it('serves a run that goes on, and later ones, which say so', async () => {
    const { url, asked } = await serving((content) => ({ text: content.includes('unclear') ? 'Hm.' : 'Yes' }));
    await judged('first', { url }, 'a', 'unclear');
    expect(await judged('first', { url }, 'a', 'unclear', 'b')).toEqual({
      verdicts: ['right', 'unparsed', 'right'],
      told: [expect.stringMatching(/^Kept from before .*: 4 replies\.$/)],
    });
    expect(asked).toHaveLength(1 + 3 + 1);
    expect(await judged('second', { url }, 'a', 'b', 'c')).toEqual({
      verdicts: ['right', 'right', 'right'],
      told: [expect.stringMatching(/^Paid for by earlier runs .*: 2 replies\.$/)],
    });
    expect(asked).toHaveLength(6);
    // What it took over is its own: the first run may be removed.
    await rm(join(folder, '{"model":"judge"}', 'first'), { recursive: true });
    await judged('third', { url }, 'a', 'b', 'c');
    expect(asked).toHaveLength(6);
  });

  it.each([
    ['concurrency', { concurrency: 1 }, 0],
    ['a price', { price: { inputPerMillion: 1, outputPerMillion: 1 } }, 0],
    ['more room than the reply took', { maxTokens: 2000 }, 0],
    ['less room than it might have taken', { maxTokens: 10 }, 1],
    ['another prompt', { prompt: '{gold} or {answer}?' }, 1],
    ['another temperature', { temperature: 0.3 }, 1],
    ['another model', { model: 'other' }, 1],
  ])('with %s', async (_, changed, more) => {
    const { url, asked } = await serving(() => ({ text: 'Yes' }));
    await judged('first', { url }, 'a');
    expect((await judged('second', { url, ...changed }, 'a')).verdicts).toEqual(['right']);
    expect(asked).toHaveLength(1 + more);
  });

  it('goes on with more attempts where the first ones told nothing', async () => {
    const { url, asked } = await serving((_, times) => ({ text: times < 4 ? 'Hm.' : 'No' }));
    expect((await judged('first', { url }, 'a')).verdicts).toEqual(['unparsed']);
    expect((await judged('second', { url, attempts: 5 }, 'a')).verdicts).toEqual(['wrong']);
    expect(asked).toHaveLength(4);
  });

  it.each([
    ['cut short, where there is more room', 'length', 'So far'],
    ['empty', 'stop', ''],
  ])('is not used where it was %s', async (_, finish, text) => {
    const { url, asked } = await serving((_, times) => (times === 1 ? { text, finish } : { text: 'Yes' }));
    await judged('first', { url, attempts: 1 }, 'a');
    expect((await judged('second', { url, attempts: 1, maxTokens: 2000 }, 'a')).verdicts).toEqual(['right']);
    expect(asked).toHaveLength(2);
  });

  it('counts what is under way when another question fails, and sends nothing new', async () => {
    const { promise: failed, resolve: fail } = deferred<void>();
    const spending = { isLimited: false, reserve: async () => ({ settle: () => fail() }) };
    const { url, asked } = await serving(async (content) => {
      if (content.includes('bad')) return { status: 401, text: '' };
      await failed;
      return { text: 'Yes' };
    });
    const { grader } = await started({ url, concurrency: 2 }, { spending });
    await expect(grader.grade(items('a', 'bad', 'b', 'c', 'd'))).rejects.toMatchObject({ code: 'endpoint_refused' });
    expect(asked).toHaveLength(2);
    await grader[Symbol.asyncDispose]();
    await judged('run', { url }, 'a');
    expect(asked).toHaveLength(2);
  });
});
