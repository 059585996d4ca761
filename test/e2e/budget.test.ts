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
  const stopped = await simmer(['run', 'long.yaml', '--set', 'budget.wallClock=1s'], { cwd });
  expect(stopped.code).toBe(5);
  const command = /simmer (resume long-\S+ --set budget\.wallClock=1m)/.exec(stopped.stderr)?.[1];
  expect(command).toBeDefined();
  const [, run] = command?.split(' ') ?? [];
  const refused = await simmer(['resume', run ?? '', '--set', 'seed=8'], { cwd });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('error[not_changeable]');
  const again = await simmer(['resume', run ?? '', '--set', 'budget.wallClock=2s'], { cwd });
  expect(again.code).toBe(5);
  expect(again.stderr).toContain('of the 2.0s of the budget have passed');
});
