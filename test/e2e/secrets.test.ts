import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startHttpServer } from '../http-server.js';
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

/** Every file that a run leaves. */
async function writtenBelow(folder: string): Promise<readonly string[]> {
  const files = await readdir(join(folder, '.simmer'), { recursive: true, withFileTypes: true });
  return Promise.all(
    files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
  );
}

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
  const written = await writtenBelow(cwd);
  const all = [...printed, ...written].join('\n');
  expect(all).toContain('The server refused [redacted].');
  expect(all).toContain('the key is [redacted] and [redacted]');
  expect(all).not.toContain(env.TEACHER_API_KEY);
  expect(all).not.toContain('hf_aaaa');
  expect(written.some((text) => text.startsWith('<!doctype html>'))).toBe(true);
});

it('stay out of all of it by any name, where a server says them back, cut in two or not', async () => {
  const padding = 'x'.repeat(180);
  await using server = await startHttpServer((request, response) => {
    const said = request.headers.authorization;
    const key = said?.slice('Bearer '.length);
    const login = Buffer.from(`me:${key}`).toString('base64');
    response.writeHead(401).end(`no such key: ${key}, no login ${login}, ${padding} ${said}`);
  });
  await using folder = await workFolder();
  const cwd = folder.path;
  await folder.write(
    'asks.yaml',
    `name: asks
stages:
  pool: { uses: curation/generate-problems, with: { count: 3 } }
  asked:
    uses: curation/distill
    with: { dataset: "\${{ stages.pool.dataset }}", url: "${server.url}/v1", apiKeyVariable: MYAUTH, model: m }
`,
  );
  const env = { MYAUTH: 'not-for-others-by-any-name' };
  const printed = [];
  for (const args of [['asks.yaml'], ['asks.yaml', '--json']]) {
    const { stdout, stderr, code } = await simmer(['run', ...args], { cwd, env });
    expect(code).toBe(3);
    printed.push(stdout, stderr);
  }
  const all = [...printed, ...(await writtenBelow(cwd))].join('\n');
  expect(all).toMatch(/no such key: \[redacted\], no login \w*\[redacted\]=*, /);
  expect(all).not.toContain(Buffer.from('me:not-for-others').toString('base64').slice(6));
  expect(all).not.toContain('not-for-o');
});

it('are refused where the name of a variable is wanted, and not shown', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  const key = 'my-own/key.without-a-shape';
  const recipe = (variable: string) => `name: asks
params: { variable: NAME }
stages:
  pool: { uses: curation/generate-problems, with: { count: 3 } }
  asked: { uses: curation/distill, needs: x, with: { dataset: "\${{ stages.pool.dataset }}", url: "http://127.0.0.1:9", model: m, apiKeyVariable: ${variable} } }
`;
  await folder.write('pasted.yaml', recipe(key));
  await folder.write(
    'login.yaml',
    recipe('NAME')
      .replace('//127', `//me:${key.replace('/', '-')}@127`)
      .replace(' needs: x,', ''),
  );
  await folder.write('named.yaml', recipe(`"\${{ params.variable }}"`).replace(' needs: x,', ''));
  for (const args of [
    ['plan', 'pasted.yaml'],
    ['plan', 'pasted.yaml', '--json'],
    ['run', 'named.yaml', '-p', `variable=${key}`],
    ['plan', 'named.yaml', '--set', `stages.asked.with.apiKeyVariable=${key}`],
  ]) {
    const { stdout, stderr, code } = await simmer(args, { cwd });
    expect(code).toBe(2);
    expect(stderr).toContain('asked.with.apiKeyVariable must be the name of an environment variable.');
    expect(stdout + stderr).not.toContain(key.slice(0, 10));
  }
  await folder.write(
    'no-scheme.yaml',
    recipe('NAME').replace('http://127', 'me:my-own-key@127').replace(' needs: x,', ''),
  );
  for (const file of ['login.yaml', 'no-scheme.yaml']) {
    const login = await simmer(['plan', file], { cwd });
    expect(login.code).toBe(2);
    expect(login.stderr).toContain('asked.with.url: the URL has a user or a password in it.');
    expect(login.stdout + login.stderr).not.toContain('my-own-key');
  }
  const signed = await simmer(
    ['plan', 'named.yaml', '--set', 'stages.asked.with.url=http://127.0.0.1:9/?key=my-own-key'],
    { cwd },
  );
  expect(signed.stdout).toContain('the server at http://127.0.0.1:9/?key=[redacted]');
  expect(await readdir(cwd)).not.toContain('.simmer');
});

it('stay out of a plan, for people and for programs', async () => {
  await using folder = await workFolder();
  const cwd = folder.path;
  const key = 'not-for-others-in-a-prompt';
  await folder.write(
    'noted.yaml',
    `name: noted
params: { note: "call it with ${key}" }
stages:
  pool: { uses: curation/generate-problems, with: { count: 3 } }
`,
  );
  for (const more of [[], ['--json']]) {
    const { stdout } = await simmer(['plan', 'noted.yaml', ...more], { cwd, env: { TEACHER_API_KEY: key } });
    expect(stdout).toContain('call it with [redacted]');
    expect(stdout).not.toContain(key);
  }
});
