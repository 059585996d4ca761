import { expect, it } from 'vitest';
import { colorsFor } from '../terminal.js';
import { rowText } from './inspect.js';

const plain = colorsFor({ isTTY: false } as NodeJS.WriteStream);

it('marks what is trained, and says of a row of which nothing is that training refuses it', () => {
  const row = { row: 3, tokens: ['2+2', '=', '4'], tokenIds: [1, 2, 3], truncated: false };
  expect(rowText({ ...row, trained: [false, false, true] }, plain)).toBe('row 3: 3 tokens, 1 trained\n2+2=⟦4⟧');
  const cut = rowText({ ...row, trained: [false, false, false], truncated: true }, plain);
  expect(cut).toContain('0 trained, cut at maxSequenceLength');
  expect(cut).toContain('training refuses a dataset with such a row');
});
