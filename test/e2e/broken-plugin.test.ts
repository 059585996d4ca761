import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

const plugin = `
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ways = {
  timer: () => void setTimeout(() => { throw new Error('out of a timer'); }, 20),
  promise: () => void wait(20).then(() => { throw new Error('out of a promise'); }),
  exit: () => void setTimeout(() => process.exit(0), 20),
  emitter: () => void wait(20).then(() => process.stdin.emit('error', new Error('out of an emitter'))),
};
export default definePlugin({
  name: 'stray',
  version: '1.0.0',
  apiVersion,
  stages: {
    go: defineStage({
      description: 'Forgets something.',
      options: z.strictObject({ way: z.enum(Object.keys(ways)) }),
      inputs: {},
      outputs: { report: { type: 'report', description: 'Nothing.' } },
      async run({ options, artifacts }) {
        ways[options.way]();
        await wait(5_000);
        return { report: await artifacts.writeReport({}) };
      },
    }),
  },
});
`;

async function run(way: string) {
  await using folder = await workFolder();
  await folder.write('stray.mjs', plugin);
  const stage = `go: { uses: stray/go, with: { way: ${way} } }`;
  await folder.write('recipe.yaml', `name: stray\nplugins: [./stray.mjs]\nstages:\n  ${stage}\n`);
  return await simmer(['run', 'recipe.yaml', '--json'], { cwd: folder.path });
}

describe('a plugin that throws where nobody waits for it', () => {
  it.each([
    ['timer', 'out of a timer'],
    ['promise', 'out of a promise'],
    ['emitter', 'out of an emitter'],
    ['exit', 'it called process.exit(0), which would end Simmer itself'],
  ])('out of a %s fails its stage, by its name, and ends the run in order', async (way, message) => {
    const { code, stdout, stderr } = await run(way);
    const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    expect([code, last.type]).toEqual([4, 'run.failed']);
    expect(last.data.error).toMatchObject({
      code: 'stage_failed',
      message: `Stage "go" (stray/go) failed: Error: ${message}`,
      hint: expect.stringContaining('an error in the plugin "stray"'),
    });
    expect(stderr).not.toContain('report it');
  });
});

const sinkPlugin = `
import { apiVersion, definePlugin, defineSink, z } from 'simmerkit';
const forget = (message) => void Promise.resolve().then(() => { throw new Error(message); });
const plugin = (hooks) => definePlugin({
  name: 'forgetful',
  version: '1.0.0',
  apiVersion,
  hooks,
  sinks: {
    forgetful: defineSink({
      description: 'Forgets promises.',
      options: z.strictObject({ at: z.enum(['event', 'close']) }),
      open: ({ at }) => ({
        onEvent: ({ type }) => at === 'event' && type === 'run.started' ? forget('at an event') : undefined,
        close: () => at === 'close' ? forget('at the end') : undefined,
      }),
    }),
  },
});
`;
const sinkRecipe = (sinks: string) =>
  `name: sinks\nplugins: [./p.mjs]\n${sinks}stages:\n  go: { uses: curation/generate-problems, with: { count: 5 } }\n`;

describe('a sink or hook whose forgotten promise fails', () => {
  it.each([
    ['sink', 'sinks: [{ uses: forgetful/forgetful, with: { at: event } }]\n', '{}', 'forgetful/forgetful'],
    [
      'hook',
      '',
      "{ onEvent: ({ type }) => type === 'run.started' ? forget('at an event') : undefined }",
      'hook onEvent',
    ],
  ])('as a %s is left out, and the run goes on', async (_, sinks, hooks, name) => {
    await using folder = await workFolder();
    await folder.write('p.mjs', `${sinkPlugin}\nexport default plugin(${hooks});\n`);
    await folder.write('recipe.yaml', sinkRecipe(sinks));
    const { code, stdout, stderr } = await simmer(['run', 'recipe.yaml', '--json'], { cwd: folder.path });
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([code, events.at(-1).type]).toEqual([0, 'run.completed']);
    expect(events.filter(({ type }) => type === 'sink.failed').map(({ data }) => data)).toMatchObject([
      {
        sink: expect.stringContaining(name),
        error: { message: expect.stringMatching(/^at an event \(p\.mjs:\d+:\d+\)$/) },
      },
    ]);
    expect(stderr).not.toContain('report it');
  });

  it('at the end is told of, and the run is done', async () => {
    await using folder = await workFolder();
    await folder.write('p.mjs', `${sinkPlugin}\nexport default plugin({});\n`);
    await folder.write('recipe.yaml', sinkRecipe('sinks: [{ uses: forgetful/forgetful, with: { at: close } }]\n'));
    const { code, stdout, stderr } = await simmer(['run', 'recipe.yaml'], { cwd: folder.path });
    expect(code).toBe(0);
    expect(stdout).toContain('sinks done');
    expect(stderr).toMatch(
      /^warning: The sink forgetful\/forgetful failed at the end: at the end \(p\.mjs:\d+:\d+\)\n$/,
    );
  });
});

it('a plugin that wants to end the process while it is loaded is told of beside what else is wrong', async () => {
  await using folder = await workFolder();
  await folder.write('leaves.mjs', 'process.exit(0);\n');
  await folder.write('recipe.yaml', 'name: leaves\nplugins: [./leaves.mjs]\nstages:\n  a: { uses: curation/lode }\n');
  const { code, stderr } = await simmer(['validate', 'recipe.yaml'], { cwd: folder.path });
  expect(code).toBe(2);
  expect(stderr).toContain('2 problems');
  expect(stderr).toContain('recipe.yaml:2:11: Plugin ./leaves.mjs failed to load: it called process.exit(0)');
  expect(stderr).toContain('Did you mean "curation/load"?');
});

it('a plugin that finds no simmerkit is told where it is', async () => {
  await using folder = await workFolder();
  await rm(join(folder.path, 'node_modules'), { recursive: true });
  await folder.write('p.mjs', "import 'simmerkit';\n");
  await folder.write('recipe.yaml', 'name: lost\nplugins: [./p.mjs]\nstages: { a: { uses: curation/split } }\n');
  const { stderr } = await simmer(['validate', 'recipe.yaml'], { cwd: folder.path });
  const [, path = ''] = /It imports simmerkit: run `npm install (\S+)` in the plugin's folder/.exec(stderr) ?? [];
  expect(JSON.parse(await readFile(join(path, 'package.json'), 'utf8'))).toMatchObject({ name: 'simmerkit' });
});
