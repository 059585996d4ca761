import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

const plugin = `
import { apiVersion, definePlugin, defineStage, UserError, z } from 'simmerkit';
export default definePlugin({
  name: 'leaky',
  version: '1.0.0',
  apiVersion,
  stages: {
    leak: defineStage({
      description: 'Says what it should not.',
      options: z.strictObject({ fails: z.boolean() }),
      inputs: {},
      outputs: { report: { type: 'report', description: 'Nothing.' } },
      async run({ artifacts, log, options }) {
        const key = process.env.TEACHER_API_KEY;
        log.warning('the key is ' + key + ' and hf_' + 'a'.repeat(34));
        if (options.fails) throw new UserError('refused', 'The server refused ' + key + '.', { kind: 'runFailed' });
        return { report: await artifacts.writeReport({}) };
      },
    }),
  },
});
`;

it('stay out of events, reports, errors and what is printed', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write('leaky.mjs', plugin);
  const recipe = (fails: boolean) =>
    `name: leaky\nplugins: [./leaky.mjs]\nstages:\n  leak: { uses: leaky/leak, with: { fails: ${fails} } }\n`;
  await folder.write('works.yaml', recipe(false));
  await folder.write('fails.yaml', recipe(true));
  const env = { TEACHER_API_KEY: 'not-for-others-1' };
  const printed = [];
  for (const args of [['works.yaml'], ['works.yaml', '--json'], ['fails.yaml'], ['fails.yaml', '--json']]) {
    const { stdout, stderr } = await simmer(['run', ...args], { cwd, env });
    printed.push(stdout, stderr);
  }
  const files = await readdir(join(cwd, '.simmer'), { recursive: true, withFileTypes: true });
  const written = await Promise.all(
    files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
  );
  const all = [...printed, ...written].join('\n');
  expect(all).toContain('The server refused [redacted].');
  expect(all).toContain('the key is [redacted] and [redacted]');
  expect(all).not.toContain(env.TEACHER_API_KEY);
  expect(all).not.toContain('hf_aaaa');
  expect(written.some((text) => text.startsWith('<!doctype html>'))).toBe(true);
});
