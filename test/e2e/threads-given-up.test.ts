import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

const plugin = `
import { apiVersion, definePlugin, defineStage, input, workInThreads, z } from 'simmerkit';
export default definePlugin({
  name: 'glance',
  version: '1.0.0',
  apiVersion,
  stages: {
    count: defineStage({
      description: 'Begins to count rows in threads, and leaves it at the first count, many times.',
      options: z.strictObject({}),
      inputs: { dataset: input('dataset', 'Any rows.') },
      outputs: { report: { type: 'report', description: 'How often.' } },
      async run(context) {
        const module = new URL('./count.work.mjs', import.meta.url);
        const work = { module, settings: {}, columns: ['id', 'question'], unit: 'rows' };
        let times = 0;
        for (; times < 10; times++) for await (const _ of workInThreads(context, context.inputs.dataset, work)) break;
        return { report: await context.artifacts.writeReport({ times }) };
      },
    }),
  },
});
`;

/** Begins and leaves the counting of so many rows. @returns how often a thread began */
async function beginnings(rows: number): Promise<number> {
  await using folder = await workFolder();
  await folder.write('plugin.mjs', plugin);
  await folder.write(
    'count.work.mjs',
    `import { appendFileSync } from 'node:fs';
export function start() {
  appendFileSync(new URL('./begun', import.meta.url), '.');
  return (rows) => rows.length;
}
`,
  );
  await folder.write(
    'recipe.yaml',
    `name: glance
plugins: [./plugin.mjs]
stages:
  problems: { uses: curation/generate-problems, with: { count: ${rows} } }
  counted: { uses: glance/count, with: { dataset: "\${{ stages.problems.dataset }}" } }
`,
  );
  const { code, signal, stderr } = await simmer(['run', 'recipe.yaml'], { cwd: folder.path });
  expect({ code, signal }, stderr).toEqual({ code: 0, signal: null });
  return (await readFile(join(folder.path, 'begun'), 'utf8')).length;
}

it('threads that are in the middle of a table are stopped without an end of the process', async () => {
  expect(await beginnings(60_000)).toBeGreaterThanOrEqual(10);
});

it('no more threads begin than a table has parts', async () => {
  expect(await beginnings(3000)).toBe(10);
});
