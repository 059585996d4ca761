import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { decontaminate } from './decontaminate.stage.js';
import { NgramIndex, wordsOf } from './ngram-index.js';

const columns = { id: 'VARCHAR', question: 'VARCHAR', source: 'VARCHAR' };
const table = (...questions: (string | readonly [question: string, source: string])[]) =>
  memoryTable(
    columns,
    questions.map((given, index) => {
      const [question, source] = typeof given === 'string' ? [given, 'pool'] : given;
      return { id: `q${index}`, question, source };
    }),
  );

async function decisions(dataset: ReturnType<typeof table>, evaluation: ReturnType<typeof table>, options = {}) {
  const result = await runStage(decontaminate, { options, inputs: { dataset, against: [evaluation] } });
  return { result, rules: result.rows('decisions').map((row) => row.rule) };
}

describe('curation/decontaminate', () => {
  const evaluation = table('One two three four five six seven eight nine.');

  it.each([
    ['a shared run of eight words', 'zero one two three four five six seven eight', 'in_evaluation'],
    ['another case and other white space', 'ONE  two\nthree\tfour five six seven EIGHT', 'in_evaluation'],
    ['seven shared words', 'one two three four five six seven ten eleven', null],
    ['other punctuation', 'one two three, four five six seven eight', null],
    ['a question of fewer than eight words', 'one two three four five six seven', null],
    ['an empty question', '', null],
  ])('%s', async (_, question, rule) => {
    expect((await decisions(table(question), evaluation)).rules).toEqual([rule]);
  });

  it('keeps the evidence and counts the funnel', async () => {
    const given = table('a b c d e f g h', 'two three four five six seven eight nine. And so on');
    const { result } = await decisions(given, evaluation);
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['q0']);
    expect(result.rows('decisions')[1]).toEqual({
      id: 'q1',
      kept: false,
      rule: 'in_evaluation',
      evidence: 'q0: two three four five six seven eight nine.',
    });
    expect(result.events.at(-1)).toEqual({
      type: 'funnel.counted',
      data: { step: 'stage', rowsIn: 2, rowsOut: 1, dropped: { in_evaluation: 1 } },
    });
  });

  it('drops what an earlier source has where asked, not what the same source has', async () => {
    const shared = 'some eight words that are found in both';
    const given = table([shared, 'first'], [`${shared} again`, 'first'], [`now ${shared}`, 'second']);
    expect((await decisions(given, evaluation, { acrossSources: true })).rules).toEqual([
      null,
      null,
      'in_earlier_source',
    ]);
    expect((await decisions(given, evaluation)).rules).toEqual([null, null, null]);
  });
});

describe('the n-gram index', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 12 });

  it('agrees with comparing every run of words', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), text, (known, words) => {
        const index = new NgramIndex<number>(3);
        for (const [owner, other] of known.entries()) index.add(other, owner);
        const runs = (list: readonly string[]) => list.slice(2).map((_, at) => list.slice(at, at + 3).join(' '));
        const expected = runs(words).find((run) => known.some((other) => runs(other).includes(run)));
        expect(index.match(words)?.words).toBe(expected);
      }),
    );
  });

  it('finds each of many n-grams, and no other', () => {
    const index = new NgramIndex<number>(2);
    for (let owner = 0; owner < 20_000; owner++) index.add([`w${owner}`, `w${owner + 1}`], owner);
    expect(index.size).toBe(20_000);
    expect(index.match(['w19999', 'w20000'])?.owner).toBe(19_999);
    expect(index.match(['w1', 'w0'])).toBeUndefined();
  });

  it('splits words as Python does', () => {
    expect(wordsOf(' A\u00a0b\u2003C\u001cd\ufeffe ')).toEqual(['a', 'b', 'c', 'd\ufeffe']);
  });
});
