import { expect, it } from 'vitest';
import { simmer, workFolder } from './cli-process.js';

const plugin = `
import { apiVersion, definePlugin, defineStage, input, workInThreads, z } from 'simmerkit';
export default definePlugin({
  name: 'beside',
  version: '1.0.0',
  apiVersion,
  stages: {
    count: defineStage({
      description: 'Counts rows in threads, by a module of its own.',
      options: z.strictObject({}),
      inputs: { dataset: input('dataset', 'Any rows.') },
      outputs: { report: { type: 'report', description: 'How many there are.' } },
      async run(context) {
        process.emitWarning('The counter is old.', { code: 'OLD_COUNTER' });
        const { sum } = await import('./sum.js');
        const module = new URL('./count.work.js', import.meta.url);
        const work = { module, settings: {}, columns: ['id'], unit: 'rows', isUnbounded: true };
        const counts = [];
        for await (const count of workInThreads(context, context.inputs.dataset, work)) counts.push(count);
        return { report: await context.artifacts.writeReport({ rows: sum(counts) }) };
      },
    }),
  },
});
`;

it('lets a plugin lie beside a recipe whose package.json says nothing of modules, and Node says nothing of it either', async () => {
  await using folder = await workFolder();
  await folder.write('package.json', '{ "dependencies": { "simmerkit": "*" } }');
  await folder.write('plugin.js', plugin);
  await folder.write('sum.js', 'export const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);\n');
  await folder.write('count.work.js', 'export const start = () => (rows) => rows.length;\n');
  await folder.write(
    'recipe.yaml',
    `name: beside
plugins: [./plugin.js]
stages:
  problems: { uses: curation/generate-problems, with: { count: 5 } }
  counted: { uses: beside/count, with: { dataset: "\${{ stages.problems.dataset }}" } }
`,
  );
  for (const command of ['validate', 'plan', 'run']) {
    const { code, stderr } = await simmer([command, 'recipe.yaml'], { cwd: folder.path });
    expect([command, code]).toEqual([command, 0]);
    expect(stderr).not.toContain('MODULE_TYPELESS_PACKAGE_JSON');
    if (command === 'run') expect(stderr).toContain('warning[OLD_COUNTER]: The counter is old.');
  }
});
