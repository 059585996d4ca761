import { RunHarness } from 'simmerkit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../../core/cli/commands/rows.js';
import curation from '../../plugins/curation/plugin.js';

const recipe = `
name: rows
seed: 7
stages:
  problems: { uses: curation/generate-problems, with: { count: 5 } }
`;

describe('rows of an output', () => {
  let harness: RunHarness;
  beforeAll(async () => {
    harness = await RunHarness.create({ plugins: [curation] });
    await harness.run(recipe);
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  const read = (output: string, rows: readonly number[]) => readRows('latest', output, { home: harness.home, rows });

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

  it('are refused with the outputs that there are', async () => {
    await expect(read('problem.dataset', [0])).rejects.toMatchObject({
      code: 'output_not_found',
      hint: expect.stringContaining('problems.dataset'),
    });
  });
});
