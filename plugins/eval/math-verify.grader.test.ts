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
  const versions = (python?: string) =>
    mathVerify.relevantVersions?.(mathVerify.options.parse({ python }), { recipeFolder, cacheFolder: recipeFolder });
  expect(await versions('./python')).toEqual({ 'math-verify': '0.9.0', sympy: '1.14.0' });
  expect(await versions()).toEqual({});
});
