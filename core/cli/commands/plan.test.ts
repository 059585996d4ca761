import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { plan } from './plan.js';

it('names a recipe that is there, where none is given', async () => {
  const error = await plan(undefined, { param: {}, set: {} }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'recipe_missing' });
  const [, file] = /simmer plan (\S+)$/.exec(String((error as { hint: string }).hint)) ?? [];
  expect(existsSync(file ?? '')).toBe(true);
});
