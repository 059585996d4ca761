import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import { expect, it } from 'vitest';
import sinks from '../../plugins/sinks/plugin.js';
import { curveIn } from '../../plugins/sinks/tensorboard/board.fixture.js';
import { heldTraining, reaching, trainingPlugins, trainingRecipe } from './trained-core.js';

const plugins = [...trainingPlugins, sinks];
const withSink = (recipe: string, options: object) =>
  `${recipe}\nsinks: ${JSON.stringify([{ uses: 'sinks/tensorboard', with: options }])}`;

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Steps and losses of a stage as the log has them, the first of each step. */
function logged(run: HarnessRun, stage: string): readonly (readonly [number, number])[] {
  const steps = run.eventsOf('step.logged').filter((event) => event.stage === stage);
  return [...new Map(steps.toReversed().map(({ data }) => [data.step, Math.fround(data.loss ?? Number.NaN)]))].sort(
    ([one], [other]) => one - other,
  );
}

it('a run that is interrupted and resumed has every step of its trainings in TensorBoard, once', async () => {
  await using harness = await RunHarness.create({ plugins, resources: { cpus: 4 } });
  const { reached, sink } = reaching('second', 8);
  const recipe = heldTraining(20 + 8);
  const handle = await harness.start(withSink(recipe, {}), { sinks: [sink] });
  await reached;
  handle.interrupt('Ctrl-C');
  const place = join(handle.runFolder, 'tensorboard');
  expect((await harness.ended(handle)).outcome.status).toBe('interrupted');
  expect(await curveIn(join(place, 'first'), 'train/loss')).toHaveLength(20);
  expect(await curveIn(join(place, 'second'), 'train/loss')).toHaveLength(8);

  const run = await harness.resume(handle.runId);
  expect(run.outcome.status, JSON.stringify(run.outcome)).toBe('completed');
  for (const stage of ['first', 'second']) {
    const curve = await curveIn(join(place, stage), 'train/loss');
    expect(curve.map(([step]) => step)).toEqual(upTo(20));
    expect(curve).toEqual(logged(run, stage));
  }

  const again = await harness.run(withSink(recipe, { folder: 'logs' }));
  expect(again.eventsOf('stage.started')).toEqual([]);
  const elsewhere = join(harness.recipeFolder, 'logs', again.runId, 'second');
  expect(await curveIn(elsewhere, 'train/loss')).toEqual(logged(run, 'second'));
});

it('a run goes on without TensorBoard where its folder cannot be made', async () => {
  await using harness = await RunHarness.create({ plugins, resources: { cpus: 4 } });
  await mkdir(join(harness.recipeFolder, 'logs'), { recursive: true });
  await writeFile(join(harness.recipeFolder, 'logs/file'), 'No folder can be made here.');
  const run = await harness.run(withSink(trainingRecipe, { folder: 'logs/file' }));
  expect(run.outcome.status, JSON.stringify(run.outcome)).toBe('completed');
  expect(run.eventsOf('sink.failed').map(({ data }) => [data.sink, data.error.message])).toEqual([
    ['sinks/tensorboard', expect.stringContaining('ENOTDIR')],
  ]);
});
