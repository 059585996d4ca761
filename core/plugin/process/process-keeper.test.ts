import { expect, it } from 'vitest';
import { ProcessKeeper } from './process-keeper.js';

it('ends what it keeps when the last one who holds it lets go, and once', async () => {
  const keeper = new ProcessKeeper();
  let ends = 0;
  const first = keeper.hold();
  keeper.keep(async () => {
    ends += 1;
  });
  const second = keeper.hold();
  await first[Symbol.asyncDispose]();
  expect(ends).toBe(0);
  await second[Symbol.asyncDispose]();
  expect(ends).toBe(1);
  await keeper.hold()[Symbol.asyncDispose]();
  expect(ends).toBe(1);
});
