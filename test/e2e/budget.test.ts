import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
beforeEach(async () => {
  folder = await workFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

it('a limit of the budget ends a run with 5 and the command that goes on, which changes nothing else', async () => {
  const cwd = folder.path;
  const recipe = 'name: long\nstages:\n  problems: { uses: curation/generate-problems, with: { count: 5000000 } }\n';
  await writeFile(join(cwd, 'long.yaml'), recipe);
  const stopped = await simmer(['run', 'long.yaml', '--home', 'my home', '--set', 'budget.wallClock=1s'], { cwd });
  expect(stopped.code).toBe(5);
  const run = /simmer --home 'my home' resume (long-\S+) --set budget\.wallClock=1m/.exec(stopped.stderr)?.[1];
  expect(run).toBeDefined();
  const env = { SIMMER_HOME: 'my home' };
  const refused = await simmer(['resume', run ?? '', '--set', 'seed=8'], { cwd, env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('error[not_changeable]');
  const again = await simmer(['resume', run ?? '', '--set', 'budget.wallClock=2s'], { cwd, env });
  expect(again.code).toBe(5);
  expect(again.stderr).toContain('of the 2.0s of the budget have passed');
});
