import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type HarnessRun, RunHarness } from 'simmerkit/testing';
import sinks from '../../plugins/sinks/plugin.js';
import { reaching, trainingPlugins, trainingRecipe } from '../integration/trained-core.js';
import { root } from '../python/check-python.js';
import { trainerPackages, trainerPythonWith } from '../python/trainer-script.js';

/** Run to tag to step, value and seconds since 1970 of each point. */
type Seen = Readonly<Record<string, Readonly<Record<string, readonly (readonly [number, number | string, number])[]>>>>;

/**
 * `npm run check:tensorboard`: TensorBoard's own reader follows a run that is stopped, whose last record is torn, and that
 * is resumed. Ends in one line of JSON; exits 1 where it sees anything else than the log has.
 */
const reader = await trainerPythonWith([await trainerPackages(join(root, 'test/check/tensorboard.lock.txt'))]);
await using harness = await RunHarness.create({ plugins: [...trainingPlugins, sinks], resources: { cpus: 4 } });
const { reached, sink } = reaching('second', 8);
const handle = await harness.start(`${trainingRecipe}\nsinks: [sinks/tensorboard]\n`, { sinks: [sink] });
const board = join(handle.runFolder, 'tensorboard');
const python = spawn(reader.python, [join(root, 'test/check/tensorboard_reader.py'), board], {
  env: { ...process.env, ...reader.env, PYTHONDONTWRITEBYTECODE: '1' },
  stdio: ['pipe', 'pipe', 'inherit'],
});
const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();

await reached;
handle.interrupt('check');
const interrupted = await harness.ended(handle);
const [file = ''] = await readdir(join(board, 'second'));
const torn = join(board, 'second', file);
await truncate(torn, (await stat(torn)).size - 5);
const before = curvesOf(interrupted);
assert.deepEqual(await look(), { ...before, second: (before.second ?? []).slice(0, -1) });

const resumed = await harness.resume(handle.runId);
assert.equal(resumed.outcome.status, 'completed');
const after = curvesOf(resumed);
assert.deepEqual(await look(), after);
python.stdin.end();
const points = Object.fromEntries(Object.entries(after).map(([stage, curve]) => [stage, curve.length]));
console.log(JSON.stringify({ name: 'tensorboard', points }));

/** What TensorBoard has of the loss, by stage, having read on. */
async function look(): Promise<Record<string, unknown>> {
  python.stdin.write('\n');
  const { value, done } = await lines.next();
  if (done === true) throw new Error('The reader has ended.');
  const { '.': run = {}, ...stages } = JSON.parse(value) as Seen;
  assert.match(String(run.recipe?.[0]?.[1]), /^ {4}name: trained$/m);
  return Object.fromEntries(Object.entries(stages).map(([stage, tags]) => [stage, tags['train/loss']]));
}

/** The same by the log. */
function curvesOf(run: HarnessRun): Record<string, readonly (readonly [number, number, number])[]> {
  const curves: Record<string, [number, number, number][]> = {};
  for (const { stage = '', time, data } of run.eventsOf('step.logged')) {
    const curve = curves[stage] ?? [];
    curves[stage] = curve;
    if (data.step <= curve.length) continue;
    curve.push([data.step, Math.fround(data.loss ?? Number.NaN), Date.parse(time) / 1000]);
  }
  return curves;
}
