import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { comparedBytes, comparedText } from './compared-text.js';
import { decontaminate } from './decontaminate.stage.js';
import { NgramIndex } from './ngram-index.js';
import { runsOf, wordsOf } from './plain-words.fixture.js';
import { scanPassingWords, scanWords, Words } from './words.js';

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

  it('warns where most rows share words, which are then a template more often than a leak', async () => {
    const given = table(
      'Ann: one two three four five six seven eight',
      'Bob: one two three four five six seven eight',
      'two three four five six seven eight nine. And so on',
      'another question',
    );
    const { result } = await decisions(given, evaluation);
    expect(result.logged).toEqual([
      {
        level: 'warning',
        message:
          '3 of 4 rows share 8 words with an evaluation question, 2 of them "one two three four five six seven eight". ' +
          "Where that is a template's and no leak, raise `words`.",
      },
    ]);
    expect((await decisions(given, evaluation, { words: 9 })).result.logged).toEqual([]);
  });

  it('looks at the earlier turns of a chat, too', async () => {
    const chats = { ...columns, history: 'STRUCT("role" VARCHAR, content VARCHAR)[]' };
    const turn = (content: string) => [{ role: 'user', content }];
    const row = { question: 'Why?', source: 'pool' };
    const given = memoryTable(chats, [
      { id: 'a', ...row, history: turn('one two three four five six seven eight') },
      { id: 'b', ...row, history: turn('one two three') },
      { id: 'c', ...row, history: null },
    ]);
    expect((await decisions(given, evaluation)).rules).toEqual(['in_evaluation', null, null]);
    expect((await decisions(given, evaluation, { acrossSources: true })).rules).toEqual(['in_evaluation', null, null]);
    // Instructions and greetings are alike in many sources.
    const greeting = [
      { role: 'system', content: 'You are a helpful assistant who answers all questions in full.' },
      { role: 'assistant', content: 'Hello! How can I help you with your homework today, my friend?' },
    ];
    const sources = memoryTable(
      chats,
      ['first', 'second', 'third'].map((source, index) => ({
        ...{ id: source, question: 'Why?', source },
        history: [...greeting, ...turn(index === 0 ? 'What is this?' : 'some eight words that are found in both')],
      })),
    );
    expect((await decisions(sources, evaluation, { acrossSources: true })).rules).toEqual([
      null,
      null,
      'in_earlier_source',
    ]);
    // A column of that name that is somebody's own.
    const other = memoryTable({ ...columns, history: 'VARCHAR[]' }, [{ id: 'd', ...row, history: ['Hello.'] }]);
    expect((await decisions(other, evaluation)).rules).toEqual([null]);
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

/** Words in any script, white space of all kinds, and letters whose case changes their length. */
const anyText = fc
  .array(
    fc.constantFrom(
      'a',
      'B',
      'c',
      'D.',
      'İ',
      'ß',
      'ΣΑΣ',
      '日本',
      '𝒳',
      '\ufeff',
      ' ',
      '  ',
      '\n',
      '\t',
      '\u00a0',
      '\u3000',
      '\u001c',
    ),
    {
      maxLength: 40,
    },
  )
  .map((parts) => parts.join(' '));

it('decontamination agrees with comparing every run of words, whatever the texts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyText, { maxLength: 6 }),
      fc.array(anyText, { maxLength: 6 }),
      async (pool, evaluation) => {
        const { result } = await decisions(table(...pool), table(...evaluation), { words: 3 });
        const known = evaluation.map((text) => runsOf(wordsOf(text), 3));
        const expected = pool.map((text) => {
          const run = runsOf(wordsOf(text), 3).find((one) => known.some((runs) => runs.includes(one)));
          return run === undefined ? null : `q${known.findIndex((runs) => runs.includes(run))}: ${run}`;
        });
        expect(result.rows('decisions').map(({ evidence }) => evidence)).toEqual(expected);
        expect(result.rows('dataset')).toHaveLength(expected.filter((evidence) => evidence === null).length);
      },
    ),
    { numRuns: 200 },
  );
});

describe('words', () => {
  it('are split as Python splits them', () => {
    expect(wordsOf(' A\u00a0b\u2003C\u001cd\ufeffe ')).toEqual(['a', 'b', 'c', 'd\ufeffe']);
  });

  it('are scanned as they are split, in any text', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.string({ unit: 'binary' })), (text) => {
        const words = scanWords(text);
        expect(Array.from({ length: words.count }, (_, at) => words.word(at))).toEqual(wordsOf(text));
      }),
    );
  });

  it('of the bytes of several columns are those of their texts, one after the other', () => {
    const cell = fc.oneof(anyText, fc.string({ unit: 'binary' }), fc.constant(null), fc.integer());
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1, maxLength: 3 }), (cells) => {
        const names = cells.map((_, at) => `c${at}`);
        const row = Object.fromEntries(cells.map((value, at) => [`c${at}`, value]));
        const inBytes = Object.fromEntries(
          Object.entries(row).map(([name, value]) => [name, typeof value === 'string' ? Buffer.from(value) : value]),
        );
        const words = scanPassingWords(comparedBytes(inBytes, names));
        expect(Array.from({ length: words.count }, (_, at) => words.word(at))).toEqual(
          wordsOf(comparedText(row, names)),
        );
        const runs = [...words.hashRuns(2)];
        expect(runs).toEqual([...scanWords(comparedText(row, names)).hashRuns(2)]);
      }),
    );
  });

  it('have the same hash for the same run, wherever it stands', () => {
    const hashes = (text: string) => [...scanWords(text).hashRuns(3)];
    expect(hashes('a b c d e f').slice(4, 6)).toEqual(hashes('c  D\te'));
    expect(hashes('a b')).toEqual([]);
  });

  it('have hashes of their own, by their small letters, in any text and in long ones', () => {
    const hashOf = new Map<string, string>();
    const check = (text: string) => {
      const words = scanPassingWords(Buffer.from(text));
      const hashes = words.hashRuns(1).slice();
      const found = wordsOf(text);
      expect(words.count).toBe(found.length);
      for (const [at, word] of found.entries()) {
        const hash = `${hashes[2 * at]} ${hashes[2 * at + 1]}`;
        expect(hashOf.get(word) ?? hash).toBe(hash);
        hashOf.set(word, hash);
      }
    };
    fc.assert(fc.property(fc.oneof(anyText, fc.string({ unit: 'binary' })), check));
    const long = Array.from(
      { length: 40_000 },
      (_, at) => `Wort${at}\u00a0\u00c9TAT${at % 7}\u2003${'x'.repeat(at % 40)}`,
    );
    check(long.join(' '));
    check(`\u00c9${'\u4e2d'.repeat(300_000)}\u00a0\u00e9${'\u4e2d'.repeat(300_000)}`);
    check('etat0 \u00e9tat0 x');
    expect(new Set(hashOf.values()).size).toBe(hashOf.size);
  });
});

describe('the n-gram index', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 12 }).map((words) => words.join(' '));

  it('agrees with comparing every run of words', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), text, (known, given) => {
        const index = new NgramIndex<number>(3);
        for (const [owner, other] of known.entries()) index.add(scanWords(other), owner);
        const runs = (one: string) => runsOf(wordsOf(one), 3);
        const expected = runs(given).find((run) => known.some((other) => runs(other).includes(run)));
        expect(index.match(scanWords(given))?.words).toBe(expected);
      }),
    );
  });

  it('finds each of many n-grams, and no other', () => {
    const index = new NgramIndex<number>(2);
    for (let owner = 0; owner < 20_000; owner++) index.add(scanWords(`w${owner} w${owner + 1}`), owner);
    expect(index.size).toBe(20_000);
    expect(index.match(scanWords('w19999 w20000'))?.owner).toBe(19_999);
    expect(index.match(scanWords('w1 w0'))).toBeUndefined();
  });

  it('tells words apart whose hashes are the same', () => {
    // Low and high half of the hash, start and end of each word.
    const cells = Uint32Array.of(1, 2, 0, 3, 3, 4, 4, 7);
    const index = new NgramIndex<string>(2);
    index.add(new Words(Buffer.from('one two'), cells), 'one');
    expect(index.match(new Words(Buffer.from('six ten'), cells))).toBeUndefined();
    expect(index.match(new Words(Buffer.from('one two'), cells))?.owner).toBe('one');
    index.add(new Words(Buffer.from('six ten'), cells), 'six');
    expect(index.match(new Words(Buffer.from('six ten'), cells))?.owner).toBe('six');
  });
});
