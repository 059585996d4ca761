import { expect, it } from 'vitest';
import { RecentlyUsed } from './recently-used.js';

it('forgets what was not used for the longest time', () => {
  const known = new RecentlyUsed<number>(2);
  known.set('a', 1);
  known.set('b', 2);
  expect(known.get('a')).toBe(1);
  known.set('c', 3);
  expect(['a', 'b', 'c'].map((key) => known.get(key))).toEqual([1, undefined, 3]);
  known.set('c', 4);
  known.delete('a');
  expect(['a', 'c'].map((key) => known.get(key))).toEqual([undefined, 4]);
});
