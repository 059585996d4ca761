import { expect, it } from 'vitest';
import { removalLines } from './remove.js';

const removal = { runs: ['r-1'], artifacts: ['a'], bytes: 1000, reusedBy: [] };

it('runs that go have a line each where they are several', () => {
  expect(removalLines(removal, false)).toEqual(['Removed r-1 with 1 artifact (1.0 kB) that no other run has.']);
  expect(removalLines({ ...removal, runs: ['r-1', 'r-2'] }, true)).toEqual([
    'Would remove 2 runs with 1 artifact (1.0 kB) that no other run has:',
    '  r-1',
    '  r-2',
  ]);
});

it('of thousands of runs that reused something a few are named', () => {
  const why = 'reused stages of what went: reports written again cannot tell how those were made.';
  const told = (count: number) => {
    const reusedBy = Array.from({ length: count }, (_, index) => `r-${index}`);
    return removalLines({ ...removal, reusedBy }, false).slice(1);
  };
  expect(told(0)).toEqual([]);
  expect(told(2)).toEqual([`r-0, r-1 ${why}`]);
  expect(told(3005)).toEqual([`r-0, r-1, r-2, r-3, r-4, 3,000 more ${why}`]);
});
