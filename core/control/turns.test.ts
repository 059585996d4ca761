import { setImmediate as loop } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Turns } from './turns.js';

const refusal = { code: 'too_many', waitFor: 'others wait' };

it('work is done for a few at a time, in the order in which it came, also after some that failed', async () => {
  const turns = new Turns({ atATime: 2, mostWaiting: 10, refusal });
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const work = (index: number) => async () => {
    begun.push(index);
    most = Math.max(most, ++running);
    await loop();
    running -= 1;
    if (index === 1) throw new Error('it failed');
    return index;
  };
  const done = await Promise.allSettled([0, 1, 2, 3, 4].map((index) => turns.take(work(index))));
  expect(done.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  expect(most).toBe(2);
});

it('others are served between two turns, and who comes when too many wait is refused', async () => {
  const turns = new Turns({ atATime: 1, mostWaiting: 2, refusal });
  const told: string[] = [];
  const served = async () => {
    for (let call = 0; call < 3; call++) {
      await loop();
      told.push('served');
    }
  };
  const taken = ['a', 'b', 'c'].map((name) =>
    turns.take(async () => {
      told.push(name);
    }),
  );
  await expect(turns.take(async () => undefined)).rejects.toMatchObject({
    code: 'too_many',
    message: '2 others wait already.',
  });
  await Promise.all([served(), ...taken]);
  const [a, b, c] = ['a', 'b', 'c'].map((name) => told.indexOf(name));
  expect(told.slice(a, b)).toContain('served');
  expect(told.slice(b, c)).toContain('served');
});
