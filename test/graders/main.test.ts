import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readLock } from '../../core/process/python-requirements.js';
import { builtModule } from '../integration/built-module.js';
import { root } from '../python/check-python.js';
import { temporaryFolder } from '../temporary-folder.js';

it('grades in the environment of the grader, beside the rule of lm-evaluation-harness', async () => {
  const data = await temporaryFolder();
  const answers = ['\\frac{1}{2}', '42', 'x^2', '(3,4)', '-7', '\\sqrt{3}', '1.5', '12'];
  await writeFile(join(data, 'math500.jsonl'), answers.map((answer) => `${JSON.stringify({ answer })}\n`).join(''));
  const { status, stdout } = spawnSync(process.execPath, [builtModule('test/graders/main.ts'), '--data', data], {
    encoding: 'utf8',
  });
  expect(status).toBe(0);
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ items: 16, directAgreement: 1 });
});

it('pins nothing that the environment of the grader has', async () => {
  const [check, grader] = await Promise.all(
    ['test/graders/agreement.lock.txt', 'plugins/eval/python/locks/grader.txt'].map((file) =>
      readLock(join(root, file)),
    ),
  );
  expect(Object.keys(check!.pins).filter((name) => name in grader!.pins)).toEqual([]);
});
