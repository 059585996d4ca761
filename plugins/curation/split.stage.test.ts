import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { messagesType, random } from '../../core/index.js';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { split, splitQuestions } from './split.stage.js';

const noTurn = async () => undefined;
const columns = { id: 'VARCHAR', question: 'VARCHAR' };
const table = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  memoryTable(
    columns,
    rows.map((row, index) => ({ id: `r${index}`, ...row })),
  );

describe('curation/split', () => {
  it('never has a question on both sides', async () => {
    const drawn = fc.record({ heldout: fc.constant(0.5), stable: fc.boolean(), seed: fc.integer() });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.string(), { minLength: 2 }), drawn, async (questions, options) => {
        const { train, heldout } = await splitQuestions(questions, options, noTurn);
        expect([...train].filter((question) => heldout.has(question))).toEqual([]);
        expect(train.size + heldout.size).toBe(questions.length);
        expect(heldout.size).toBe(Math.round(questions.length / 2));
      }),
    );
  });

  it('holds out the same questions however many are trained on, in whatever order they come', async () => {
    const questions = Array.from({ length: 100 }, (_, index) => `q${index}`);
    const first = await splitQuestions(questions, { heldout: 20, seed: 4 }, noTurn);
    const second = await splitQuestions([...questions].reverse(), { heldout: 20, train: 30, seed: 4 }, noTurn);
    expect(second.heldout).toEqual(first.heldout);
    expect(second.train.size).toBe(30);
  });

  it('holds out the same questions of data that grew, but for those that take their place, where it is stable', async () => {
    const questions = Array.from({ length: 1100 }, (_, index) => `q${index}`);
    const heldout = async (count: number, options: { readonly stable: boolean; readonly seed?: number }) =>
      (await splitQuestions(questions.slice(0, count), { heldout: 100, seed: 4, ...options }, noTurn)).heldout;
    const kept = async (count: number, stable: boolean) => {
      const before = await heldout(1000, { stable });
      return [...(await heldout(count, { stable }))].filter((question) => before.has(question)).length;
    };
    expect(await kept(1001, true)).toBeGreaterThanOrEqual(99);
    expect(await kept(1100, true)).toBeGreaterThan(80);
    expect(await kept(1001, false)).toBeLessThan(60);
    expect(await heldout(1000, { stable: true, seed: 5 })).not.toEqual(await heldout(1000, { stable: true }));
  });

  it('holds out the same questions as ever, where it is stable', async () => {
    const questions = Array.from({ length: 5000 }, (_, index) => `q${index}`);
    const { heldout, train } = await splitQuestions(questions, { heldout: 4, train: 3, stable: true, seed: 4 }, noTurn);
    expect([[...heldout], [...train]]).toEqual([
      ['q1478', 'q584', 'q1634', 'q3461'],
      ['q4427', 'q3649', 'q224'],
    ]);
  });

  it('sorts as ever, and lets others go on meanwhile', async () => {
    const drawn = random(4, 'letters');
    const letters = Array.from({ length: 4000 }, () => String.fromCodePoint(65 + drawn.integer(70_000)));
    const questions = [...new Set(letters)].map((letter) => `${letter}?`);
    const turn = vi.fn(noTurn);
    const { heldout } = await splitQuestions(questions, { heldout: 50, train: 1, seed: 4 }, turn);
    const expected = random(4, 'split').shuffle([...questions].sort());
    expect([...heldout]).toEqual(expected.slice(0, 50));
    expect(turn.mock.calls.length).toBeGreaterThanOrEqual(questions.length);
  });

  it('lets others go on while it shuffles', async () => {
    const questions = Array.from({ length: 30_000 }, (_, index) => `q${index}`);
    const turns = async (stable: boolean) => {
      const turn = vi.fn(noTurn);
      await splitQuestions(questions, { heldout: 1, train: 1, stable, seed: 4 }, turn);
      return turn.mock.calls.length;
    };
    // Both sort alike, and what is drawn alone is not shuffled.
    expect((await turns(false)) - (await turns(true))).toBeGreaterThanOrEqual(questions.length / 10_000);
  });

  it('lets others go on while it draws each question for itself', async () => {
    const questions = Array.from({ length: 5000 }, (_, index) => `q${index}`);
    const turn = vi.fn(noTurn);
    await splitQuestions(questions, { heldout: 1, train: 1, stable: true, seed: 4 }, turn);
    expect(turn.mock.calls.length).toBeGreaterThanOrEqual(questions.length);
  });

  it('keeps equal questions together and counts what is held out', async () => {
    const dataset = table(Array.from({ length: 40 }, (_, index) => ({ question: `q${index % 20}` })));
    const result = await runStage(split, { options: { heldout: 5, train: 10 }, inputs: { dataset } });
    const questions = (output: string) => new Set(result.rows(output).map((row) => row.question));
    expect(result.rows('heldout')).toHaveLength(10);
    expect([...questions('heldout')].filter((question) => questions('train').has(question))).toEqual([]);
    expect(result.events.at(-1)?.data).toEqual({
      step: 'stage',
      rowsIn: 40,
      rowsOut: 20,
      dropped: { held_out: 10, unused: 10 },
    });
  });

  it('refuses to hold out nothing', async () => {
    await expect(splitQuestions(['a', 'b', 'c', 'd'], { heldout: 0.1, seed: 1 }, noTurn)).rejects.toThrow(
      '`heldout: 0.1` of 4 questions is none.',
    );
  });

  it('draws rows without a question one by one', async () => {
    const dataset = table(Array.from({ length: 20 }, (_, index) => ({ question: index % 2 === 0 ? '' : null })));
    const result = await runStage(split, { options: { heldout: 5 }, inputs: { dataset } });
    expect([result.rows('heldout').length, result.rows('train').length]).toEqual([5, 15]);
  });

  it('warns of held-out questions that come twice: what answers them fails, after a training at worst', async () => {
    const warnings = async (questions: number) => {
      const dataset = table(Array.from({ length: 40 }, (_, index) => ({ question: `q${index % questions}` })));
      return (await runStage(split, { options: { heldout: 5 }, inputs: { dataset } })).logged.map(
        ({ message }) => message,
      );
    };
    expect(await warnings(20)).toEqual([expect.stringContaining('Held out are 5 questions in 10 rows')]);
    expect(await warnings(40)).toEqual([]);
  });

  it('holds out chats that end with the same question, of each as many as are asked for', async () => {
    const history = [{ role: 'system', content: 'You are the support of Acme.' }];
    const chats = Array.from({ length: 20 }, (_, index) => ({ id: `c${index % 10}`, question: 'Thank you!', history }));
    const dataset = memoryTable({ ...columns, history: messagesType }, chats);
    const result = await runStage(split, { options: { heldout: 3 }, inputs: { dataset } });
    const ids = (output: string) => new Set(result.rows(output).map((row) => row.id));
    expect([ids('heldout').size, ids('train').size]).toEqual([3, 7]);
    expect([...ids('heldout')].filter((id) => ids('train').has(id))).toEqual([]);
    expect(result.rows('heldout')).toHaveLength(6);
  });
});
