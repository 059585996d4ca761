import type { Grader, Row } from 'simmerkit';
import { describe, expect, it, vi } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { compare } from './compare.stage.js';
import type { ComparisonReport } from './comparison.js';
import { gradeExactly } from './exact.grader.js';
import { grade } from './grade.stage.js';

const grader: Grader = { grade: async (items) => items.map((item) => gradeExactly(item, { number: 'whole' })) };

const generationColumns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  prompt: 'VARCHAR',
  model: 'VARCHAR',
  policy: 'VARCHAR',
  method: 'VARCHAR',
  sample_index: 'INTEGER',
  max_thinking_tokens: 'INTEGER',
  ignore_end_count: 'INTEGER',
  word: 'VARCHAR',
  thinking: 'VARCHAR',
  answer: 'VARCHAR',
  thinking_tokens: 'INTEGER',
  answer_tokens: 'INTEGER',
  thinking_end: 'VARCHAR',
  finish_reason: 'VARCHAR',
  finish_disputed: 'VARCHAR',
  context_cut: 'BOOLEAN',
  interventions: 'STRUCT(kind VARCHAR)[]',
};

interface Given {
  readonly policy: string;
  readonly maximum: number;
  readonly ignore?: number;
  readonly tokens: number;
  /** Answers to the problems p0, p1, ...; the gold answer of each is its number. */
  readonly answers: readonly string[];
  /** What stands before the number of the problem in its prompt; absent: the prompts are not known. */
  readonly asked?: string;
  /** How many of them, from the first on, ran into their length limit. */
  readonly cut?: number;
}

function generations(model: string, given: readonly Given[]) {
  const rows = given.flatMap(({ policy, maximum, ignore = 0, tokens, answers, asked, cut = 0 }) =>
    answers.map(
      (answer, index): Row => ({
        id: `p${index}/${policy}/0`,
        prompt_id: `p${index}`,
        prompt: asked === undefined ? null : asked + index,
        model,
        policy,
        method: 'budget-forcing',
        sample_index: 0,
        max_thinking_tokens: maximum,
        ignore_end_count: ignore,
        word: 'Wait',
        thinking: 'hm',
        answer,
        thinking_tokens: tokens,
        answer_tokens: 3,
        thinking_end: tokens >= maximum ? 'forced' : 'natural',
        finish_reason: index < cut ? 'length' : 'stop',
        context_cut: answer === 'no idea',
        finish_disputed: answer === 'no idea' ? 'finish_reason null after 3 of 9 tokens' : null,
        interventions: Array.from({ length: ignore }, () => ({ kind: 'extended' })),
      }),
    ),
  );
  return memoryTable(generationColumns, rows, 'generations');
}

const problems = (count: number) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
    Array.from({ length: count }, (_, index) => ({
      id: `p${index}`,
      question: `What is ${index}?`,
      answer: String(index),
    })),
  );

const right = (count: number, of: number) =>
  Array.from({ length: of }, (_, index) => `Final Answer: ${index < count ? index : index + 1000}`);

const metrics = (events: Awaited<ReturnType<typeof runStage>>['events']) =>
  new Map(events.flatMap((event) => (event.type === 'metric.measured' ? [[event.data.name, event.data]] : [])));

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
          /tuned at 128: 100\.0%\)\. The grader says, e\.g\.: .* "final answer: 0" cannot be read as one\.$/,
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

describe('eval/compare', () => {
  const graded = async (model: string, given: readonly Given[]) => {
    const inputs = { generations: generations(model, given), dataset: problems(100) };
    const { outputs } = await runStage(grade, { inputs, grader });
    return outputs.graded!;
  };

  it('measures what tuning, a larger maximum and waiting did', async () => {
    const untuned = await graded('untuned', [
      { policy: '64', maximum: 64, tokens: 64, answers: right(2, 100) },
      { policy: '256', maximum: 256, tokens: 200, answers: right(4, 100) },
    ]);
    const tuned = await graded('tuned', [
      { policy: '256', maximum: 256, tokens: 128, answers: right(80, 100) },
      { policy: '64', maximum: 64, tokens: 64, answers: right(40, 100) },
      { policy: '256+1xWait', maximum: 256, ignore: 1, tokens: 200, answers: right(75, 100) },
    ]);
    const result = await runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } });
    const report = (result.outputs.report as unknown as { content: ComparisonReport }).content;
    expect(report.models).toEqual({ untuned: ['untuned'], tuned: ['tuned'] });
    expect(report.runs.map(({ model, policy, accuracy }) => [model, policy, accuracy])).toEqual([
      ['untuned', '64', 0.02],
      ['untuned', '256', 0.04],
      ['tuned', '64', 0.4],
      ['tuned', '256', 0.8],
      ['tuned', '256+1xWait', 0.75],
    ]);
    const differences = new Map(report.differences.map((one) => [one.name, one]));
    expect([...differences.keys()]).toEqual([
      'tuned-untuned.accuracy@64',
      'tuned-untuned.accuracy@256',
      'untuned.accuracy@256-accuracy@64',
      'tuned.accuracy@256-accuracy@64',
      'tuned.accuracy@256+1xWait-accuracy@256',
    ]);
    const waiting = differences.get('tuned.accuracy@256+1xWait-accuracy@256')!;
    expect(waiting).toMatchObject({ kind: 'waits', rightToWrong: 5, wrongToRight: 0, problems: 100 });
    expect(waiting.difference).toBeCloseTo(-0.05, 12);
    expect(waiting.interval[0]).toBeLessThan(-0.05);
    expect(differences.get('tuned-untuned.accuracy@256')!.interval[0]).toBeGreaterThan(0.65);
    const maxima = report.scaling.find((one) => one.model === 'tuned' && one.series === 'maxima')!;
    expect(maxima).toMatchObject({ runs: 2, control: 1, performance: 0.8 });
    expect(maxima.scalingPerDoubling).toBeCloseTo(40, 9);
    const measured = metrics(result.events);
    expect(measured.get('tuned.accuracy@256-accuracy@64')?.value).toBeCloseTo(0.4, 12);
    expect(measured.get('tuned.scaling-log2.maxima')?.value).toBeCloseTo(40, 9);
  });

  it('pairs by problem, so a constant gain has little spread, and proves no more than 100 problems can', async () => {
    const untuned = await graded('untuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(0, 100) }]);
    const tuned = await graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(100, 100) }]);
    const { events } = await runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } });
    const gain = metrics(events).get('tuned-untuned.accuracy@64')!;
    expect(gain).toMatchObject({ value: 1, interval: [expect.closeTo(0.926, 3), 1] });
  });

  it('refuses to pair runs over other problems', async () => {
    const tuned = await graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }]);
    const untuned = await graded('untuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 50) }]);
    await expect(runStage(compare, { inputs: { untuned: [untuned], tuned: [tuned] } })).rejects.toMatchObject({
      code: 'problems_differ',
    });
  });

  it('refuses two models of one name', async () => {
    const table = await graded('model', [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }]);
    await expect(runStage(compare, { inputs: { untuned: [table], tuned: [table] } })).rejects.toMatchObject({
      code: 'label_not_unique',
    });
  });

  it('compares several tuned models with one that is not, each with itself, too', async () => {
    const answersOf = (label: string, answers: number) =>
      graded(
        label,
        [64, 128].map((maximum) => ({
          policy: `${maximum}`,
          maximum,
          tokens: maximum,
          answers: right(answers + (maximum > 64 ? 10 : 0), 100),
        })),
      );
    const [base, full, lora] = await Promise.all([answersOf('base', 5), answersOf('full', 40), answersOf('lora', 30)]);
    const { events, outputs } = await runStage(compare, { inputs: { untuned: [base], tuned: [full, lora] } });
    const { models, runs } = (outputs.report as unknown as { content: ComparisonReport }).content;
    expect(models).toEqual({ untuned: ['base'], tuned: ['full', 'lora'] });
    expect(runs.map(({ model }) => model)).toEqual(['base', 'base', 'full', 'full', 'lora', 'lora']);
    const measured = metrics(events);
    const differences = [...measured].filter(([, { labels }]) => labels?.kind !== undefined);
    expect(differences.map(([name, { value }]) => [name, value])).toEqual([
      ['full-base.accuracy@64', expect.closeTo(0.35, 9)],
      ['full-base.accuracy@128', expect.closeTo(0.35, 9)],
      ['lora-base.accuracy@64', expect.closeTo(0.25, 9)],
      ['lora-base.accuracy@128', expect.closeTo(0.25, 9)],
      ['base.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
      ['full.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
      ['lora.accuracy@128-accuracy@64', expect.closeTo(0.1, 9)],
    ]);
    expect(measured.has('lora.scaling-log2.maxima')).toBe(true);
  });

  it('says so where the answers were not graded alike', async () => {
    const given = [{ policy: '64', maximum: 64, tokens: 64, answers: right(5, 100) }];
    const gradedBy = async (label: string, options: Readonly<Record<string, unknown>>) => {
      const inputs = { generations: generations(label, given), dataset: problems(100) };
      return (await runStage(grade, { inputs, options, grader })).outputs.graded!;
    };
    const [before, alike, whole] = [
      await gradedBy('before', {}),
      await gradedBy('after', {}),
      await gradedBy('after', { extraction: 'whole' }),
    ];
    const same = await runStage(compare, { inputs: { untuned: [before], tuned: [alike] } });
    expect(same.logged).toEqual([]);
    const { logged } = await runStage(compare, { inputs: { untuned: [before], tuned: [whole] } });
    expect(logged).toEqual([
      {
        level: 'warning',
        message: expect.stringContaining('eval/exact, extraction "s1"; eval/exact, extraction "whole"'),
      },
    ]);
  });

  it('says so where the two sides of a difference were not asked in the same words', async () => {
    const askedOf = (label: string, asked?: string) => {
      const given = { policy: '64', maximum: 64, tokens: 64, answers: right(5, 9) };
      return graded(label, [asked === undefined ? given : { ...given, asked }]);
    };
    const before = await askedOf('before', 'What is ');
    const warnings = async (asked?: string) =>
      (await runStage(compare, { inputs: { untuned: [before], tuned: [await askedOf('after', asked)] } })).logged;
    expect(await warnings('What is ')).toEqual([]);
    expect(await warnings()).toEqual([]);
    expect(await warnings('Think. What is ')).toEqual([
      {
        level: 'warning',
        message: expect.stringContaining('The two sides of after-before.accuracy@64 were asked in different words'),
      },
    ]);
  });

  it('says so where a second model has the label of the first, and is left out', async () => {
    const answersOf = (answers: number) =>
      graded('tuned', [{ policy: '64', maximum: 64, tokens: 64, answers: right(answers, 100) }]);
    const [first, again, other] = await Promise.all([answersOf(40), answersOf(40), answersOf(50)]);
    const same = await runStage(compare, { inputs: { tuned: [first, again] } });
    expect(same.logged).toEqual([]);
    const { logged } = await runStage(compare, { inputs: { tuned: [first, other] } });
    expect(logged).toEqual([{ level: 'warning', message: expect.stringContaining('other answers of tuned at 64') }]);
  });
});
