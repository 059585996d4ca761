import { data } from 'franc-min/data.js';
import { expressions } from 'franc-min/expressions.js';
import { describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { deduplicate } from './deduplicate.stage.js';
import { difficulty } from './difficulty.stage.js';
import { languages } from './languages.js';
import { quality } from './quality.stage.js';
import { select } from './select.stage.js';
import { split } from './split.stage.js';

const columns = { id: 'VARCHAR', question: 'VARCHAR', reasoning: 'VARCHAR', answer: 'VARCHAR', source: 'VARCHAR' };
const table = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  memoryTable(
    columns,
    rows.map((row, index) => ({ id: `r${index}`, ...row })),
  );

describe('curation/quality', () => {
  it.each([
    ['Draw [asy] size(3); [/asy]', 'math', 'asy_picture'],
    ['Draw [asy] size(3); [/asy]', 'aime_2024', null],
    ['See ![Image](x.png)', 'math', 'image'],
    ['Solve p1. and p2.', 'math', 'numbered_part'],
    ['Solve p999.', 'math', 'numbered_part'],
    ['Solve p0.', 'math', null],
    ['The step. 12.', 'math', null],
    ['**Q12** Solve', 'math', 'bold_number'],
    ['**bold** words, 12', 'math', 'bold_number'],
    ['**bold** words', 'math', null],
    ['** 12 ** spaced', 'math', null],
    ['**[12]** bracket', 'math', null],
    ['**a**\r12', 'math', 'bold_number'],
    ['**a**\u2029, ١', 'math', 'bold_number'],
    ['**a**\n12', 'math', null],
    ['**1\x1f**', 'math', null],
    ['**1\ufeff**', 'math', 'bold_number'],
    ['What is 2 + 2?', 'math', null],
  ])('takes %j from %s for %s', async (question, source, rule) => {
    const result = await runStage(quality, { inputs: { dataset: table([{ question, source }]) } });
    expect(result.rows('decisions').map((row) => row.rule)).toEqual([rule]);
  });

  it('applies own rules and limits, and counts each', async () => {
    const options = {
      preset: 'none',
      drop: [{ rule: 'link', pattern: 'https?:', column: 'reasoning' }],
      length: { question: { min: 3 }, reasoning: { max: 20 } },
    };
    const dataset = table([
      { question: 'p1. fine', reasoning: 'short' },
      { question: 'p2. fine', reasoning: 'see http://x' },
      { question: 'no', reasoning: 'short' },
      { question: 'long', reasoning: 'x'.repeat(21) },
    ]);
    const result = await runStage(quality, { options, inputs: { dataset } });
    expect(result.events.at(-1)).toEqual({
      type: 'funnel.counted',
      data: {
        step: 'stage',
        rowsIn: 4,
        rowsOut: 1,
        dropped: { link: 1, question_too_short: 1, reasoning_too_long: 1 },
      },
    });
  });

  it.each([
    [
      'In a right triangle the legs have lengths of three and four centimetres. How long is the hypotenuse of it?',
      null,
    ],
    [
      'En un triángulo rectángulo, los catetos miden tres y cuatro centímetros. ¿Cuál es la longitud de la hipotenusa?',
      'language',
    ],
    [
      'Ein Zug fährt mit sechzig Kilometern in der Stunde von Berlin nach Hamburg. Wie lange braucht er für den Weg dorthin?',
      'language',
    ],
    ['Löse $x^2 + 3x - 4 = 0$.', null],
    ['$\\frac{a}{b} = \\sqrt{2}$ '.repeat(20), null],
    ['\\[\\sum_{der}^{die} das \\text{ist nicht so}\\] '.repeat(20), null],
  ])('tells the language of %j', async (question, rule) => {
    const result = await runStage(quality, { options: { language: {} }, inputs: { dataset: table([{ question }]) } });
    expect(result.rows('decisions').map((row) => row.rule)).toEqual([rule]);
  });

  it.each(['\\[', '\\('])('looks once for what closes %j, however often that stands in a text', async (opening) => {
    const dataset = table([{ question: opening.repeat(500_000) }]);
    const result = await runStage(quality, { options: { language: {} }, inputs: { dataset } });
    expect(result.rows('decisions').map((row) => row.rule)).toEqual([null]);
  });

  it('drops traces that go in circles, with the words that come again', async () => {
    const stuck = 'Let us think. '.repeat(6) + 'Wait, so the answer is four, or is it? '.repeat(20);
    const sound = Array.from({ length: 200 }, (_, index) => `step ${index} gives ${index * 7}`).join(' ');
    const dataset = table([
      { question: 'a', reasoning: stuck },
      { question: 'b', reasoning: sound },
      { question: 'c' },
    ]);
    const options = { repetition: [{ words: 8, maximumShare: 0.3 }] };
    const result = await runStage(quality, { options, inputs: { dataset } });
    expect(result.rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
      ['repetition', expect.stringMatching(/^9\d% of its runs of 8 words came before; \d+ times "/)],
      [null, null],
      [null, null],
    ]);
  });

  it.each([
    ['is cut within an emoji', { drop: [{ rule: 'x', pattern: 'a+.*' }] }, `${'a'.repeat(199)}`],
    ['matched half an emoji', { drop: [{ rule: 'x', pattern: 'a\ud83d', flags: '' }] }, 'a\ufffd'],
    ['is what came again', { repetition: [{ column: 'question', words: 1, maximumShare: 0 }] }, `${'a'.repeat(119)}"`],
  ])('gives evidence in whole characters where it %s', async (_, options, evidence) => {
    const question = `${'a'.repeat(199)}😀😀 ${`${'a'.repeat(119)}😀 `.repeat(3)}`;
    const result = await runStage(quality, { options, inputs: { dataset: table([{ question }]) } });
    expect(result.rows('decisions')[0]?.evidence).toEqual(expect.stringMatching(new RegExp(`${evidence}$`, 'u')));
  });

  it('finds a pattern that is no regular expression before it runs', () => {
    const options = quality.options.parse({ drop: [{ rule: 'x', pattern: '(' }] });
    expect(quality.check?.(options, { recipeFolder: '.' })).toMatchObject([{ path: 'drop.0.pattern' }]);
  });

  it.each([
    [{ language: { allowed: ['eng', 'zho', 'fin'] } }, ['language.allowed.1', 'language.allowed.2']],
    [{ length: { question: { min: 9, max: 8 }, answer: { min: 8, max: 8 } } }, ['length.question.min']],
  ])('finds what would drop everything before it runs: %j', (options, paths) => {
    const problems = quality.check?.(quality.options.parse(options), { recipeFolder: '.' });
    expect(problems).toMatchObject(paths.map((path) => ({ path })));
  });

  it('knows the languages that are told from each other', () => {
    const told = Object.values(data).flatMap((ofScript) => Object.keys(ofScript));
    const ofOneScript = Object.keys(expressions).filter((name) => !(name in data));
    expect(languages).toEqual([...new Set([...told, ...ofOneScript])].sort());
  });

  it('names a column that is not there', async () => {
    const dataset = memoryTable({ id: 'VARCHAR', problem: 'VARCHAR' }, []);
    await expect(runStage(quality, { inputs: { dataset } })).rejects.toMatchObject({
      code: 'missing_column',
      message: 'The dataset has no column `question`; it has `id`, `problem`.',
    });
  });
});

describe('curation/deduplicate', () => {
  const dataset = table([{ question: 'What?' }, { question: 'what? ' }, { question: 'What?' }]);

  it('keeps the first of equal rows', async () => {
    const result = await runStage(deduplicate, { inputs: { dataset } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['r0', 'r1']);
    expect(result.rows('decisions')[2]).toMatchObject({ rule: 'duplicate', evidence: 'same as r0' });
  });

  it('looks past case and white space when asked', async () => {
    const result = await runStage(deduplicate, { options: { ignoreCaseAndSpace: true }, inputs: { dataset } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['r0']);
  });

  it('takes no part of a character for what stands between columns', async () => {
    const kept = async (options: Readonly<Record<string, unknown>>, ...texts: readonly string[]) => {
      const given = table(texts.map((question) => ({ question })));
      const result = await runStage(deduplicate, { options, inputs: { dataset: given } });
      return result.rows('dataset').map((row) => row.id);
    };
    // Gothic letters, each of which begins with the first of all surrogates.
    expect(await kept({ ignoreCaseAndSpace: true }, 'a 𐌰', 'a𐌰')).toEqual(['r0', 'r1']);
    const shared = Array.from({ length: 20 }, (_, at) => `word${at}`);
    const [one, other] = [0x10330, 0x1033a].map((first) =>
      [...shared, ...Array.from({ length: 10 }, (_, at) => String.fromCodePoint(first + at))].join(' '),
    );
    expect(await kept({ near: { words: 1, similarity: 0.6 } }, one!, other!)).toEqual(['r0', 'r1']);
  });

  it('compares each of several columns with itself', async () => {
    const rows = [
      { question: 'a', answer: null },
      { question: null, answer: 'a' },
      { question: 'a\nb', answer: 'c' },
      { question: 'a', answer: 'b\nc' },
      { question: 'A ', answer: ' C' },
      { question: 'a', answer: 'c' },
      { question: '', answer: 'a' },
      { question: 'b\x1fc', answer: 'd' },
      { question: 'b', answer: 'c\x1fd' },
    ];
    const several = memoryTable(
      { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
      rows.map((row, index) => ({ id: `r${index}`, ...row })),
    );
    const kept = async (options: object) => {
      const given = { column: ['question', 'answer'], ...options };
      const result = await runStage(deduplicate, { options: given, inputs: { dataset: several } });
      return result.rows('dataset').map((row) => row.id);
    };
    expect(await kept({})).toEqual(['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r7', 'r8']);
    expect(await kept({ ignoreCaseAndSpace: true })).toEqual(['r0', 'r1', 'r2', 'r3', 'r4', 'r7', 'r8']);
    // What is similar is told of their texts together.
    expect(await kept({ near: {} })).toEqual(['r0', 'r2', 'r4', 'r7']);
  });

  it('tells of rows that are the same in that they have nothing to compare', async () => {
    const rows = [{ question: null }, { question: 'a' }, { question: '' }, { question: 'a' }];
    const result = await runStage(deduplicate, { inputs: { dataset: table(rows) } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['r0', 'r1']);
    expect(result.logged).toMatchObject([
      {
        level: 'warning',
        message: expect.stringContaining('1 of the duplicates are the same in that they have no question.'),
      },
    ]);
  });

  it('drops what is nearly the same when asked, and says how much and as what', async () => {
    const words = Array.from({ length: 60 }, (_, index) => `word${index}`);
    const question = words.join(' ');
    const rows = [
      question,
      question.replace('word59', 'other'),
      question.replace('word30', 'other'),
      'Something else.',
      '',
    ];
    const near = table([...rows, ''].map((text) => ({ question: text })));
    const result = await runStage(deduplicate, { options: { near: { similarity: 0.95 } }, inputs: { dataset: near } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['r0', 'r2', 'r3', 'r4']);
    expect(result.rows('decisions')[1]).toMatchObject({ rule: 'near_duplicate', evidence: '0.966 similar to r0' });
    expect(result.rows('decisions')[5]).toMatchObject({ rule: 'duplicate', evidence: 'same as r4' });
  });
});

it('curation/difficulty drops what any model answers rightly', async () => {
  const graded = (model: string, verdicts: Readonly<Record<string, string>>) =>
    memoryTable(
      { prompt_id: 'VARCHAR', model: 'VARCHAR', verdict: 'VARCHAR' },
      Object.entries(verdicts).map(([prompt_id, verdict]) => ({ prompt_id, model, verdict })),
    );
  const dataset = table([{ question: 'a' }, { question: 'b' }, { question: 'c' }]);
  const models = [
    graded('7b', { r0: 'wrong', r1: 'wrong', r2: 'unparsed' }),
    graded('32b', { r0: 'right', r1: 'wrong' }),
  ];
  const result = await runStage(difficulty, { inputs: { dataset, graded: models } });
  expect(result.rows('dataset').map((row) => row.id)).toEqual(['r1', 'r2']);
  expect(result.rows('decisions')[0]).toMatchObject({ rule: 'too_easy', evidence: '32b was right in 1 of 1' });
});

it('curation/difficulty keeps what is answered rightly neither too often nor too seldom', async () => {
  const verdicts = { r0: [0, 0, 0, 0], r1: [1, 0, 0, 0], r2: [1, 1, 1, 0], r3: [1, 1, 1, 1] };
  const graded = memoryTable(
    { prompt_id: 'VARCHAR', model: 'VARCHAR', verdict: 'VARCHAR' },
    Object.entries(verdicts).flatMap(([prompt_id, rights]) =>
      rights.map((right) => ({ prompt_id, model: 'small', verdict: right === 1 ? 'right' : 'wrong' })),
    ),
  );
  const dataset = table(['a', 'b', 'c', 'd', 'e'].map((question) => ({ question })));
  const decisions = async (options: Readonly<Record<string, unknown>>) =>
    (await runStage(difficulty, { options, inputs: { dataset, graded: [graded] } }))
      .rows('decisions')
      .map(({ rule, evidence }) => [rule, evidence]);
  expect(await decisions({ minimumRight: 0.2, maximumRight: 0.8 })).toEqual([
    ['too_hard', 'small was right in 0 of 4'],
    [null, 'small was right in 1 of 4'],
    [null, 'small was right in 3 of 4'],
    ['too_easy', 'small was right in 4 of 4'],
    [null, 'no model answered it'],
  ]);
  expect((await decisions({ unanswered: 'drop' })).at(-1)).toEqual(['not_answered', null]);
});

describe('curation/split', () => {
  it.each([
    ['dataset', select, { method: 'random', count: 2 }],
    ['dataset', deduplicate, {}],
    ['heldout', split, { heldout: 2 }],
  ])('keeps what a benchmark says of its problems in a part of it, its %s', async (output, stage, options) => {
    const metadata = { task: 'GSM8K', extraction: 's1', grader: 'eval/math-verify' };
    const dataset = { ...table([1, 2, 3, 4].map((number) => ({ question: `q${number}` }))), metadata };
    const { outputs } = await runStage(stage, { options, inputs: { dataset } });
    expect(outputs[output]?.metadata).toEqual(metadata);
  });

  it('refuses to split more than there is', async () => {
    const dataset = table([{ question: 'a' }]);
    await expect(runStage(split, { options: { heldout: 5 }, inputs: { dataset } })).rejects.toMatchObject({
      code: 'too_few_rows',
    });
  });
});
