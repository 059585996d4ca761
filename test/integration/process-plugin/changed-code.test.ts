import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiVersion, definePlugin, defineStage, z } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import { ArtifactStore } from '../../../core/artifacts/artifact-store.js';
import { cacheFolder } from '../../python/check-python.js';
import { temporaryFolder } from '../../temporary-folder.js';

/** Somebody who works on a grader while a run goes on. */
const author = definePlugin({
  name: 'author',
  version: '1.0.0',
  apiVersion,
  stages: {
    edit: defineStage({
      description: 'Writes into a file while it makes an answer.',
      options: z.strictObject({ file: z.string(), from: z.string(), to: z.string() }),
      inputs: {},
      outputs: { dataset: { type: 'dataset', description: 'One answer.' } },
      async run({ options: { file, from, to }, artifacts }) {
        await writeFile(file, (await readFile(file, 'utf8')).replace(from, to));
        const columns = { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR', gold: 'VARCHAR' };
        return {
          dataset: await artifacts.writeDataset([{ id: '1', question: '?', answer: '4', gold: '4' }], { columns }),
        };
      },
    }),
  },
});

it('what a process made is reused by no other run where its code was changed before it was started', async () => {
  const plugin = join(await temporaryFolder(), 'close-enough');
  await cp(join(import.meta.dirname, '../../../docs/examples/close-enough-python'), plugin, { recursive: true });
  const listedPlugins = [plugin];
  await using harness = await RunHarness.create({ plugins: [author], listedPlugins, withBuiltIn: true, cacheFolder });
  const store = await ArtifactStore.open(harness.home);
  const gradedAfter = async (to: string, tolerance: number) => {
    const file = join(plugin, 'close_enough.py');
    const run = await harness.run(`
name: edited
stages:
  answers: { uses: author/edit, with: ${JSON.stringify({ file, from: '"right"', to })} }
  graded:
    uses: curation/verify
    with: { dataset: "\${{ stages.answers.dataset }}", grader: { uses: close-enough/close-enough, with: { tolerance: ${tolerance} } } }
`);
    const [key] = run.eventsOf('stage.completed').flatMap(({ stage, data }) => (stage === 'graded' ? [data.key] : []));
    return {
      rules: (await run.rows('graded.decisions')).map(({ rule }) => rule),
      warnings: run.eventsOf('log.written').flatMap(({ data }) => (data.level === 'warning' ? [data.message] : [])),
      isKept: key !== undefined && (await store.stages.lookup(key)) !== undefined,
    };
  };
  const warning = expect.stringContaining('The code of close-enough was changed while the run went on.');
  expect(await gradedAfter('"right"', 0.1)).toEqual({ rules: ['right'], warnings: [], isKept: true });
  expect(await gradedAfter('"wrong"', 0.2)).toEqual({ rules: ['wrong'], warnings: [warning], isKept: false });
});
