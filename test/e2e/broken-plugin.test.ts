import { describe, expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

const plugin = `
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ways = {
  timer: () => void setTimeout(() => { throw new Error('out of a timer'); }, 20),
  promise: () => void wait(20).then(() => { throw new Error('out of a promise'); }),
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
  it.each(['timer', 'promise', 'emitter'])(
    'out of a %s fails its stage, by its name, and ends the run in order',
    async (way) => {
      const { code, stdout } = await run(way);
      const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      expect([code, last.type]).toEqual([4, 'run.failed']);
      expect(last.data.error).toMatchObject({
        code: 'stage_failed',
        message: expect.stringMatching(new RegExp(`^Stage "go" \\(stray/go\\) failed: Error: out of an? ${way}$`)),
        hint: expect.stringContaining('an error in the plugin "stray"'),
      });
    },
  );
});
