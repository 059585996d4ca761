import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { mix } from './mix.stage.js';
import { drawSources, type MixingOptions } from './mixing.js';

const table = (name: string, count: number) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR' },
    Array.from({ length: count }, (_, index) => ({ id: `${name}${index}`, question: `${name}?` })),
  );
const draws = (sizes: readonly number[], weights: readonly number[], options: Partial<MixingOptions> = {}) => [
  ...drawSources(sizes, weights, { seed: 1, whenEmpty: 'skip', order: 'drawn', ...options }),
];
const counts = (drawn: readonly number[], of: number) =>
  Array.from({ length: of }, (_, index) => drawn.filter((source) => source === index).length);

describe('drawing the sources of a mix', () => {
  it('takes every row once by default, whatever the weights', () => {
    const sizes = fc.array(fc.record({ size: fc.nat(20), weight: fc.integer({ min: 1, max: 9 }) }), { minLength: 1 });
    fc.assert(
      fc.property(sizes, fc.constantFrom('drawn', 'even'), fc.integer(), (given, order, seed) => {
        const all = given.map(({ size }) => size);
        const drawn = draws(
          all,
          given.map(({ weight }) => weight),
          { order, seed },
        );
        expect(counts(drawn, all.length)).toEqual(all);
      }),
    );
  });

  it('draws in the given shares', () => {
    const [one, two, three] = counts(draws([50_000, 50_000, 50_000], [5, 3, 2], { count: 40_000 }), 3);
    // Four standard deviations are at most 400.
    expect(Math.abs(one! - 20_000)).toBeLessThan(400);
    expect(Math.abs(two! - 12_000)).toBeLessThan(400);
    expect(Math.abs(three! - 8000)).toBeLessThan(400);
  });

  it('has the shares right at any length where they are even', () => {
    const drawn = draws([100, 100], [3, 1], { order: 'even', count: 40 });
    for (let length = 4; length <= 40; length += 4)
      expect(counts(drawn.slice(0, length), 2)).toEqual([(length * 3) / 4, length / 4]);
  });

  it('stops at the first that is empty, or begins it again, as asked', () => {
    const stopped = draws([3, 1000], [1, 1], { whenEmpty: 'stop' });
    expect(counts(stopped, 2)[0]).toBe(3);
    expect(stopped.length).toBeLessThan(100);
    expect(counts(draws([3, 1000], [1, 1], { whenEmpty: 'repeat', count: 200 }), 2)[0]).toBeGreaterThan(60);
    expect(draws([0, 2], [1, 1], { whenEmpty: 'stop' })).toEqual([1, 1]);
    expect(draws([5, 2], [0, 1])).toEqual([1, 1]);
  });
});

describe('curation/mix', () => {
  it('keeps the order of rows within each dataset, and says what was drawn', async () => {
    const datasets = [table('a', 2), table('b', 6)];
    const options = { weights: [1, 1], count: 6, whenEmpty: 'repeat', order: 'even' };
    const result = await runStage(mix, { options, inputs: { datasets } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['a0', 'b0', 'a1', 'b1', 'a0', 'b2']);
    expect(result.rows('decisions').map(({ id, kept, rule, evidence }) => [id, kept, rule, evidence])).toEqual([
      ['a0', true, null, 'dataset 1, drawn 2 times'],
      ['a1', true, null, 'dataset 1, drawn once'],
      ['b0', true, null, 'dataset 2, drawn once'],
      ['b1', true, null, 'dataset 2, drawn once'],
      ['b2', true, null, 'dataset 2, drawn once'],
      ...['b3', 'b4', 'b5'].map((id) => [id, false, 'not_drawn', 'dataset 2, drawn 0 times']),
    ]);
    expect(result.events.at(-1)?.data).toEqual({ step: 'stage', rowsIn: 8, rowsOut: 6, dropped: { not_drawn: 3 } });
  });

  it('says how many rows came of each dataset, and how many were asked for where it has fewer', async () => {
    const datasets = [table('a', 2), table('b', 6)];
    const told = async (count: number) =>
      (await runStage(mix, { options: { weights: [3, 1], count, order: 'even' }, inputs: { datasets } })).logged;
    const has = 'The mix has 2 rows of dataset 1,';
    expect(await told(6)).toEqual([{ level: 'info', message: `${has} 4 rows of dataset 2.` }]);
    expect(await told(9)).toEqual([{ level: 'info', message: `${has} 6 rows of dataset 2; 9 were asked for.` }]);
  });

  it('draws the same rows from the same seed, and others from another', async () => {
    const run = async (seed: number) =>
      (await runStage(mix, { options: {}, seed, inputs: { datasets: [table('a', 50), table('b', 50)] } }))
        .rows('dataset')
        .map((row) => row.id);
    expect(await run(4)).toEqual(await run(4));
    expect(await run(5)).not.toEqual(await run(4));
  });

  it('fills columns that a dataset lacks, and refuses types that differ', async () => {
    const levels = memoryTable({ id: 'VARCHAR', level: 'BIGINT' }, [{ id: 'x', level: 3 }]);
    const result = await runStage(mix, { inputs: { datasets: [table('a', 1), levels] }, options: { order: 'even' } });
    expect(result.rows('dataset')).toEqual([
      { id: 'a0', question: 'a?', level: null },
      { id: 'x', question: null, level: 3 },
    ]);
    const other = memoryTable({ id: 'VARCHAR', level: 'VARCHAR' }, []);
    await expect(runStage(mix, { inputs: { datasets: [levels, other] } })).rejects.toMatchObject({
      code: 'columns_differ',
      message: 'Column `level` is VARCHAR in dataset 2 and BIGINT in an earlier one.',
    });
  });

  it('refuses what cannot be drawn', async () => {
    const problems = async (options: object, datasets = 2) =>
      (await mix.check?.(mix.options.parse(options), { recipeFolder: '.', inputs: { datasets } }))?.map(
        ({ code }) => code,
      );
    expect(await problems({ weights: [0, 0] })).toEqual(['no_weight']);
    expect(await problems({ whenEmpty: 'repeat' })).toEqual(['endless_mix']);
    expect(await problems({}, 0)).toEqual(['nothing_to_mix']);
    expect(await problems({ weights: [1, 2] }, 3)).toEqual(['weights_differ']);
    expect(await problems({ weights: [0, 1], whenEmpty: 'repeat', count: 5 })).toEqual([]);
    await expect(
      runStage(mix, { options: { weights: [1] }, inputs: { datasets: [table('a', 1), table('b', 1)] } }),
    ).rejects.toMatchObject({ code: 'weights_differ' });
    await expect(runStage(mix, {})).rejects.toMatchObject({ code: 'nothing_to_mix' });
  });
});
