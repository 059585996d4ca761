import { setImmediate as others } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inParts } from './in-parts.js';

it('work on many is done in its order, with others served in between', async () => {
  const told: string[] = [];
  const served = others().then(() => told.push('served'));
  const items = Array.from({ length: 120 }, (_, index) => index);
  const results = await inParts(items, async (item) => {
    told.push(String(item));
    return 2 * item;
  });
  await served;
  expect(results).toEqual(items.map((item) => 2 * item));
  expect(told.indexOf('served')).toBe(50);
  expect(told.filter((word) => word !== 'served')).toEqual(items.map(String));
});
