/** A core to be killed, as `runCore` runs it. */
import { setTimeout as wait } from 'node:timers/promises';
import { random } from 'simmerkit';
import { runCore } from './core-process.js';
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

await runCore(import.meta, () => {
  const delays = random(process.pid, 'delays');
  const watch = watched(async (_, signal) => {
    await wait(delays.integer(25), undefined, { signal });
  });
  return { recipe: killedRecipe, plugins: [countingPlugin(watch)] };
});
