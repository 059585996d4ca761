import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { mathVerify } from './math-verify.grader.js';

it('tells the versions that verdicts depend on of a Python of the user’s own, and none of the one it locks', async () => {
  const recipeFolder = await temporaryFolder();
  const installed = JSON.stringify({ Math_Verify: '0.9.0', sympy: '1.14.0', numpy: '2.0.0' });
  const probe = JSON.stringify({ version: '3.12.1', implementation: 'cpython-312', platform: 'test' });
  const script = `#!/bin/sh\ncase "$*" in *importlib*) echo '${installed}';; *) echo '${probe}';; esac\n`;
  await writeFile(join(recipeFolder, 'python'), script);
  await chmod(join(recipeFolder, 'python'), 0o755);
  const versions = (python?: string, settings: { readonly python?: string } = {}) => {
    const where = { recipeFolder, cacheFolder: recipeFolder, ...settings };
    return mathVerify.relevantVersions?.(mathVerify.options.parse({ python }), where);
  };
  expect(await versions('./python')).toEqual({ 'math-verify': '0.9.0', sympy: '1.14.0' });
  expect(await versions()).toEqual({});
  // As of --python: it is what the grader runs with then.
  const inSettings = { python: join(recipeFolder, 'python') };
  expect(await versions(undefined, inSettings)).toEqual({ 'math-verify': '0.9.0', sympy: '1.14.0' });
});
