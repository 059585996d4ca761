import { RunHarness } from 'simmerkit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Condition, readRows } from '../../core/cli/commands/rows.js';
import curation from '../../plugins/curation/plugin.js';

const recipe = `
name: rows
seed: 7
stages:
  problems: { uses: curation/generate-problems, with: { count: 5 } }
  chosen: { uses: curation/select, with: { dataset: '\${{ stages.problems.dataset }}', method: random, count: 2 } }
`;

describe('rows of an output', () => {
  let harness: RunHarness;
  beforeAll(async () => {
    harness = await RunHarness.create({ plugins: [curation] });
    await harness.run(recipe);
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  const read = (output: string, rows: readonly number[], where: readonly Condition[] = []) =>
    readRows('latest', output, { home: harness.home, rows, where });

  it('are those asked for that there are, once each and in their order', async () => {
    const all = await read('problems.dataset', [0, 1, 2, 3, 4]);
    expect(all.found).toHaveLength(5);
    const { found, positions, rowCount } = await read('problems.dataset', [4, 1, 1, 5]);
    expect({ found, positions, rowCount }).toEqual({
      found: [all.found[1], all.found[4]],
      positions: [1, 4],
      rowCount: 5,
    });
  });

  it('are those that fit all conditions, where some are given', async () => {
    const { found: decisions } = await read('chosen.decisions', [0, 1, 2, 3, 4]);
    const dropped = [0, 1, 2, 3, 4].filter((row) => decisions[row]?.kept === false);
    const notSelected = { column: 'rule', pattern: 'not_*' };
    expect(await read('chosen.decisions', [0, 2, 3], [notSelected])).toEqual({
      found: [decisions[dropped[0]!], decisions[dropped[2]!]],
      positions: [dropped[0], dropped[2]],
      rowCount: 5,
      fitting: 3,
    });
    const none = await read('chosen.decisions', [0], [notSelected, { column: 'kept', pattern: 'true' }]);
    expect(none).toMatchObject({ found: [], fitting: 0 });
    await expect(read('chosen.decisions', [0], [{ column: 'rules', pattern: '*' }])).rejects.toMatchObject({
      code: 'missing_column',
      hint: 'Did you mean "rule"?',
    });
  });

  it('are refused with the outputs that there are', async () => {
    await expect(read('problem.dataset', [0])).rejects.toMatchObject({
      code: 'output_not_found',
      hint: expect.stringContaining('problems.dataset'),
    });
  });
});
