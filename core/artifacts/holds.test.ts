import { expect, it } from 'vitest';
import { Holds } from './holds.js';

it('what somebody holds, or held since the taking began, is not taken', async () => {
  const holds = new Holds();
  const before = await holds.hold(['before', 'twice']);
  const again = await holds.hold(['twice']);
  using taking = holds.beginTaking();
  const since = await holds.hold(['since']);
  for (const held of [before, again, since]) held[Symbol.dispose]();
  expect([...taking.take(['before', 'twice', 'since', 'free'])]).toEqual(['free']);
  using later = holds.beginTaking();
  expect([...later.take(['before', 'twice', 'since'])]).toEqual(['before', 'twice', 'since']);
});

it('a name is free when the last who holds it lets it go, each of them once', async () => {
  const holds = new Holds();
  const [one, other] = [await holds.hold(['name']), await holds.hold(['name'])];
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  using taking = holds.beginTaking();
  expect(taking.take(['name']).size).toBe(0);
  other[Symbol.dispose]();
  using later = holds.beginTaking();
  expect(later.take(['name']).size).toBe(1);
});

it('who wants to hold what was taken waits until it is decided, and no longer than that', async () => {
  const holds = new Holds();
  const taking = holds.beginTaking();
  taking.take(['taken']);
  (await holds.hold(['other']))[Symbol.dispose]();
  const order: string[] = [];
  const held = holds.hold(['other', 'taken']).then(() => order.push('held'));
  await Promise.resolve();
  order.push('decided');
  taking[Symbol.dispose]();
  await held;
  expect(order).toEqual(['decided', 'held']);
});
