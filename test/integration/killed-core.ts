/**
 * A core to be killed: starts or takes up a run in a home and writes each event that a sink got, one a line, on stdout.
 * `node killed-core.js HOME [RUN_ID]`
 */
import { writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { random } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { countingPlugin, watched } from './counting-plugin.js';

/** Two branches of three stages each, and their sum. */
export const killedRecipe = `
name: killed
stages:
  a1: { uses: counting/count, with: { to: 3 } }
  b1: { uses: counting/count, with: { to: 4 } }
  a2: { uses: counting/sum, with: { of: ["\${{ stages.a1.numbers }}"] } }
  b2: { uses: counting/sum, with: { of: ["\${{ stages.b1.numbers }}"] } }
  a3: { uses: counting/sum, with: { of: ["\${{ stages.a1.numbers }}", "\${{ stages.a2.numbers }}"] } }
  b3: { uses: counting/sum, with: { of: ["\${{ stages.b1.numbers }}", "\${{ stages.b2.numbers }}"] } }
  total: { uses: counting/sum, with: { of: ["\${{ stages.a3.numbers }}", "\${{ stages.b3.numbers }}"] } }
`;

async function main(home: string, runId: string | undefined): Promise<void> {
  const delays = random(process.pid, 'delays');
  const watch = watched(async (_, signal) => {
    await wait(delays.integer(25), undefined, { signal });
  });
  await using harness = await RunHarness.create({ plugins: [countingPlugin(watch)], home });
  // Synchronous: what was written is in the pipe, however soon the process is killed.
  const sinks = [{ onEvent: (event: unknown) => void writeSync(1, `${JSON.stringify(event)}\n`) }];
  const handle =
    runId === undefined ? await harness.start(killedRecipe, { sinks }) : await harness.manager.resume(runId, { sinks });
  await handle.finished;
}

const [home, runId] = process.argv.slice(2);
if (home !== undefined && process.argv[1]?.endsWith('killed-core.js')) await main(home, runId);
