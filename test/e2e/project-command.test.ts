import { execFile } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { builtModule } from '../integration/built-module.js';
import { workFolder } from './cli-process.js';

it('a command of a project names commands as npx takes them, in hints and problems, too', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  const command = join(cwd, 'node_modules/.bin/simmer');
  await mkdir(dirname(command));
  await symlink(builtModule('core/cli/main.ts'), command);
  const called = async (...words: string[]) =>
    promisify(execFile)(process.execPath, [command, ...words], { cwd }).catch((error: { stderr: string }) => error);
  expect(await called('plugin', 'new', 'called', '--language', 'python')).toMatchObject({
    stdout: expect.stringContaining('\n  cd called\n  npx simmer plugin verify .\n  npx simmer run recipe.yaml\n'),
  });
  await folder.write('unclear.yaml', 'name: unclear\nstages:\n  pool: { uses: pool }\n');
  const hints = expect.stringContaining('hint: `npx simmer plugins` lists every stage.');
  expect(await called('validate', 'unclear.yaml')).toMatchObject({ stderr: hints });
  expect(await called('runn')).toMatchObject({ stderr: expect.stringContaining('hint: `npx simmer help COMMAND`') });
});
