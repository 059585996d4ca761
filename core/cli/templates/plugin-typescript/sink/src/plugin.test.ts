import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunHarness } from 'simmerkit/testing';
import plugin from './plugin.js';

test('it writes of each stage of a recipe how long it took', async () => {
  await using harness = await RunHarness.create({ plugins: [plugin], withBuiltIn: true });
  const run = await harness.run(`
name: trial
sinks: [{ uses: new-plugin/stage-times }]
stages:
  problems: { uses: curation/generate-problems, with: { count: 20 } }
`);
  assert.equal(run.outcome.status, 'completed');
  assert.deepEqual(run.eventsOf('sink.failed'), []);
  assert.match(await readFile(join(run.runFolder, 'stage-times.txt'), 'utf8'), /^problems: \S+\n$/);
});
