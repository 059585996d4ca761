import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fakeTrainerPlugin, RunHarness } from 'simmerkit/testing';
import { beforeEach, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { cacheFolder } from '../python/check-python.js';
import { temporaryFolder } from '../temporary-folder.js';

const examples = join(import.meta.dirname, '../../docs/examples');

/** The example, with what stands in for the real `wandb`: the environment is that of the other examples. */
let plugin: string;
beforeEach(async () => {
  plugin = await temporaryFolder();
  for (const file of ['simmer-plugin.yaml', 'wandb_sink.py']) {
    await copyFile(join(examples, 'wandb', file), join(plugin, file));
  }
  await copyFile(join(examples, 'close-enough-python/requirements.txt'), join(plugin, 'requirements.txt'));
  await copyFile(join(import.meta.dirname, 'wandb-example/wandb.py'), join(plugin, 'wandb.py'));
});

async function recipe(): Promise<string> {
  const { plugins: _, ...rest } = parse(await readFile(join(examples, 'wandb/recipe.yaml'), 'utf8'));
  return stringify({ ...rest, trainers: { student: { uses: 'fake-trainer/fake' } } });
}

async function saidIn(runFolder: string): Promise<readonly Record<string, Record<string, unknown>>[]> {
  const lines = await readFile(join(runFolder, 'wandb/said.jsonl'), 'utf8');
  return lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

it('the sink of the example logs each step once, also over a resume, and ends well with the run', async () => {
  await using harness = await RunHarness.create({
    plugins: [fakeTrainerPlugin],
    listedPlugins: [plugin],
    withBuiltIn: true,
    cacheFolder,
  });
  const handle = await harness.start(await recipe(), {
    params: { project: 'trial' },
    sinks: [
      {
        onEvent: ({ type, stage }) =>
          void (type === 'stage.completed' && stage === 'tuned' && handle.interrupt('enough')),
      },
    ],
  });
  const stopped = await harness.ended(handle);
  expect(stopped.outcome).toMatchObject({ status: 'interrupted' });
  const run = await harness.resume(stopped.runId);
  expect(run.outcome, JSON.stringify(run.outcome)).toMatchObject({ status: 'completed' });

  const said = await saidIn(run.runFolder);
  const opened = { project: 'trial', mode: 'offline', id: run.runId, name: run.runId, resume: 'allow' };
  expect(said.flatMap((line) => line.opened ?? [])).toEqual([opened, opened]);
  expect(said.flatMap((line) => line.finished ?? [])).toEqual([1, 0]);
  const steps = said.flatMap(({ logged }) =>
    logged !== undefined && 'tuned/loss' in logged ? logged['tuned/step'] : [],
  );
  expect(steps).toEqual(run.eventsOf('step.logged').map(({ data }) => data.step));
  expect(steps.length).toBeGreaterThan(1);
  expect(said).toContainEqual({ axis: { 'tuned/*': 'tuned/step' } });
  const [accuracy] = run.eventsOf('metric.measured').filter(({ data }) => data.name === 'tuned.accuracy@32');
  expect(said).toContainEqual({ summary: { 'tuned.accuracy@32': accuracy?.data.value } });
});
