import type { Grader } from 'simmerkit';
import { describe, expect, it, vi } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { generations, grader, metrics, problems, right } from './grade.fixture.js';
import { grade } from './grade.stage.js';

describe('eval/grade', () => {
  it('grades each answer and measures accuracy with its interval', async () => {
    const answers = ['Final Answer: 0', '\\boxed{7}', 'Answer: none', 'no idea'];
    const result = await runStage(grade, {
      inputs: {
        generations: generations('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers }]),
        dataset: problems(4),
      },
      grader,
    });
    expect(result.rows('graded').map((row) => [row.id, row.extracted, row.parsed, row.verdict, row.gold])).toEqual([
      ['p0/64/0', '0', '0', 'right', '0'],
      ['p1/64/0', '7', '7', 'wrong', '1'],
      ['p2/64/0', 'none', null, 'unparsed', '2'],
      ['p3/64/0', null, null, 'unparsed', '3'],
    ]);
    const measured = metrics(result.events);
    expect(measured.get('tuned.accuracy@64')).toMatchObject({
      value: 0.25,
      interval: [0, 0.75],
      count: 4,
      labels: { model: 'tuned', maxThinkingTokens: 64, ignore: 0, word: 'Wait', method: 'budget-forcing' },
    });
    expect(measured.get('tuned.unparsed@64')?.value).toBe(0.5);
    expect(measured.get('tuned.forced-end@64')?.value).toBe(1);
    expect(measured.get('tuned.finish-disputed@64')?.value).toBe(0.25);
    expect(measured.get('tuned.context-cut@64')?.value).toBe(0.25);
    expect(measured.get('tuned.thinking-tokens@64')?.value).toBe(64);
  });

  it('tells the grader the question as the model was asked, or else that of the dataset', async () => {
    const questions: (string | undefined)[] = [];
    const noting: Grader = {
      grade: (items) => {
        questions.push(...items.map(({ question }) => question));
        return grader.grade(items);
      },
    };
    const of = (policy: string, asked?: string) => ({
      ...{ policy, maximum: 64, tokens: 64, answers: right(1, 1) },
      ...(asked === undefined ? {} : { asked }),
    });
    const asked = generations('tuned', [of('64', 'Be brief. What is '), of('128')]);
    await runStage(grade, { inputs: { generations: asked, dataset: problems(1) }, grader: noting });
    expect(questions).toEqual(['Be brief. What is 0', 'What is 0?']);
    questions.length = 0;
    const unasked = memoryTable({ id: 'VARCHAR', answer: 'VARCHAR' }, [{ id: 'p0', answer: '0' }]);
    await runStage(grade, {
      inputs: { generations: generations('tuned', [of('64')]), dataset: unasked },
      grader: noting,
    });
    expect(questions).toEqual([undefined]);
  });

  it('tells the grader the id of each generation, or its place where two have the same', async () => {
    const ids: string[] = [];
    const noting: Grader = {
      grade: (items) => {
        ids.push(...items.map(({ id }) => id));
        return grader.grade(items);
      },
    };
    const given = { policy: '64', maximum: 64, tokens: 64, answers: right(1, 2) };
    for (const same of [[given], [given, given]]) {
      const inputs = { generations: generations('tuned', same), dataset: problems(2) };
      const { rows } = await runStage(grade, { inputs, grader: noting });
      expect(rows('graded').map(({ verdict }) => verdict)).toEqual(same.flatMap(() => ['right', 'wrong']));
    }
    expect(ids).toEqual(['p0/64/0', 'p1/64/0', '0', '1', '2', '3']);
  });

  it('can be stopped while it looks for answers by a pattern that takes long', async () => {
    const slow = Array.from({ length: 60 }, () => 'a'.repeat(3000));
    const asked = generations('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: slow }]);
    const stop = new AbortController();
    const read = {
      async *rows() {
        yield* asked.rows();
        setImmediate(() => stop.abort(new Error('stopped')));
      },
    };
    const grading = vi.fn(grader.grade);
    const running = runStage(grade, {
      options: { extraction: { pattern: '\\w+\\d|(a)$' } },
      inputs: { generations: Object.assign(Object.create(asked), read), dataset: problems(60) },
      grader: { grade: grading },
      signal: stop.signal,
    });
    await expect(running).rejects.toThrow('stopped');
    expect(grading).not.toHaveBeenCalled();
  });

  it('warns where more than half of the answers were cut, and what that may mean', async () => {
    const of = (policy: string, cut: number) => ({ policy, maximum: 64, tokens: 64, answers: right(1, 4), cut });
    const inputs = { generations: generations('tuned', [of('64', 2), of('128', 3)]), dataset: problems(4) };
    const { logged } = await runStage(grade, { inputs, grader });
    expect(logged).toEqual([
      {
        level: 'warning',
        message:
          'More than half of the answers were cut at their length limit (tuned at 128: 75.0%). Either the model never ' +
          'ends a reply, and has to be trained on replies that end, or sampling.maxAnswerTokens is too small.',
      },
    ]);
  });

  it('says once what share is alike under several policies', async () => {
    const of = (policy: string, cut: number) => ({ policy, maximum: 64, tokens: 64, answers: right(1, 4), cut });
    const policies = [of('64', 4), of('128', 3), of('256', 4), of('512', 2)];
    const inputs = { generations: generations('tuned', policies), dataset: problems(4) };
    const { logged } = await runStage(grade, { inputs, grader });
    expect(logged[0]?.message).toContain('length limit (tuned at 64, 256: 100.0%; tuned at 128: 75.0%). Either');
  });

  it('warns where more than half of the answers could not be read, and says what the extraction looks for', async () => {
    const of = (policy: string, answers: string[]) => ({ policy, maximum: 64, tokens: 64, answers });
    const replies = ['It is 0.', 'It is 1.', 'Final Answer: two', 'Final Answer: 3'];
    const inputs = {
      generations: generations('tuned', [of('64', right(1, 4)), of('128', replies)]),
      dataset: problems(4),
    };
    const warnings = async (options: Record<string, unknown>) =>
      (await runStage(grade, { inputs, grader, options })).logged;
    const shares = 'More than half of the answers could not be read, and count as not right (tuned at 128: 75.0%).';
    const said = 'Of others the grader says, e.g.: The gold answer is a number, and "two" cannot be read as one.';
    expect(await warnings({})).toEqual([
      {
        level: 'warning',
        message:
          `${shares} In 2 of 4 no final answer was found: extraction s1 looks for \\boxed{} and "Answer:". Where the whole ` +
          `reply is the answer, set \`extraction: whole\`. ${said}`,
      },
    ]);
    expect(await warnings({ extraction: { pattern: '(\\d+|two)$' } })).toEqual([
      {
        level: 'warning',
        message: `${shares} In 2 of 4 the pattern of \`extraction\` matches nothing: (\\d+|two)$ ${said}`,
      },
    ]);
    expect(await warnings({ extraction: 'whole' })).toMatchObject([
      {
        message: expect.stringMatching(
          /tuned at 64, 128: 100\.0%\)\. The grader says, e\.g\.: .* "final answer: 0" cannot be read as one\.$/,
        ),
      },
    ]);
    expect(await warnings({ extraction: { pattern: '\\d+|two' } })).toEqual([]);
  });

  it('names the generation whose problem the dataset does not have', async () => {
    const given = generations('tuned', [{ policy: '64', maximum: 64, tokens: 1, answers: right(3, 3) }]);
    await expect(
      runStage(grade, { inputs: { generations: given, dataset: problems(2) }, grader }),
    ).rejects.toMatchObject({
      code: 'problem_unknown',
      message: expect.stringContaining('p2'),
    });
  });

  it('refuses a dataset that has two gold answers for one problem', async () => {
    const given = generations('tuned', [{ policy: '64', maximum: 64, tokens: 1, answers: right(1, 1) }]);
    const gradedBy = (answers: readonly string[]) => {
      const rows = answers.map((answer) => ({ id: 'p0', question: 'q', answer }));
      const dataset = memoryTable({ id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' }, rows);
      return runStage(grade, { inputs: { generations: given, dataset }, grader });
    };
    expect((await gradedBy(['0', '0'])).rows('graded')).toMatchObject([{ verdict: 'right' }]);
    await expect(gradedBy(['0', '1'])).rejects.toMatchObject({
      code: 'invalid_problem',
      message: expect.stringContaining('p0'),
    });
  });

  it("finds answers as the dataset's task says, where the recipe does not", async () => {
    const { columns, allRows } = problems(2);
    const extraction = { pattern: 'so (\\d+)', flags: 'i' };
    const dataset = {
      ...memoryTable(columns, allRows),
      metadata: { task: 'own', extraction, grader: 'eval/math-verify' },
    };
    const given = generations('tuned', [
      { policy: '64', maximum: 64, tokens: 1, answers: ['Answer: 9. So 0', 'so 7, so 1'] },
    ]);
    const extracted = async (options: object) =>
      (await runStage(grade, { options: { ...options }, inputs: { generations: given, dataset }, grader }))
        .rows('graded')
        .map((row) => row.extracted);
    expect(await extracted({})).toEqual(['0', '1']);
    expect(await extracted({ extraction: 's1' })).toEqual(['9. So 0', null]);
    expect(grade.options.safeParse({ extraction: { pattern: '(' } }).success).toBe(false);
  });

  it('refuses to grade nothing', async () => {
    const run = runStage(grade, { inputs: { generations: generations('tuned', []), dataset: problems(1) }, grader });
    await expect(run).rejects.toMatchObject({ code: 'empty_generations' });
  });

  it('refuses problems without a gold answer', async () => {
    const given = generations('tuned', [{ policy: '64', maximum: 64, tokens: 1, answers: right(1, 1) }]);
    const dataset = memoryTable({ id: 'VARCHAR', answer: 'VARCHAR' }, [{ id: 'p0', answer: ' ' }]);
    await expect(runStage(grade, { inputs: { generations: given, dataset }, grader })).rejects.toMatchObject({
      code: 'gold_missing',
      hint: expect.stringContaining('eval/judge with a `prompt` without {gold}'),
    });
    // Before an environment is made for the grader: none is given here.
    const misspelt = runStage(grade, {
      options: { goldColumn: 'anwser' },
      inputs: { generations: given, dataset },
    });
    await expect(misspelt).rejects.toMatchObject({
      code: 'missing_column',
      message: 'The dataset has no column `anwser`; it has `id`, `answer`.',
    });
    const unnamed = memoryTable({ id: 'VARCHAR' }, [{ id: 'p0' }]);
    await expect(runStage(grade, { inputs: { generations: given, dataset: unnamed }, grader })).rejects.toMatchObject({
      code: 'missing_column',
    });
  });

  it.each([
    ['an empty one', { answer: 'VARCHAR' }, { answer: ' ' }],
    ['no column of them', {}, {}],
  ])('grades problems with %s for a gold answer where the grader needs none', async (_, columns, cells) => {
    const needless: Grader = {
      needsGold: false,
      grade: async (items) =>
        items.map(({ id, gold, answer }) => ({
          ...{ id, verdict: answer.length > 2 ? 'right' : 'wrong', explanation: '' },
          ...{ parsedAnswer: answer, parsedGold: gold },
        })),
    };
    const dataset = memoryTable(
      { id: 'VARCHAR', question: 'VARCHAR', ...columns },
      ['p0', 'p1'].map((id) => ({ id, question: 'Hello?', ...cells })),
    );
    const given = generations('tuned', [{ policy: '64', maximum: 64, tokens: 1, answers: ['Hi', 'Hello'] }]);
    const options = { extraction: 'whole' };
    const { rows, events } = await runStage(grade, {
      inputs: { generations: given, dataset },
      grader: needless,
      options,
    });
    expect(rows('graded').map((row) => [row.prompt_id, row.gold, row.verdict])).toEqual([
      ['p0', null, 'wrong'],
      ['p1', null, 'right'],
    ]);
    expect(metrics(events).get('tuned.accuracy@64')?.value).toBe(0.5);
  });
});
