import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { definePlugin, defineTrainer, placement } from '../plugin/define.js';
import { apiVersion } from '../plugin/definitions.js';
import { misbehaviorSchema } from './fake-trainer/misbehavior.js';

/**
 * A plugin with the trainer `fake-trainer/fake`: a process that speaks all of simmer.trainer.v1 within milliseconds and
 * without Python. It trains nothing; its losses, texts and tokens depend on its input alone. A recipe
 * may name this module in its `plugins`.
 */
export const fakeTrainerPlugin = definePlugin({
  name: 'fake-trainer',
  version: '1.0.0',
  apiVersion,
  trainers: {
    fake: defineTrainer({
      description: 'A trainer for tests: all of the protocol, none of the work.',
      options: z.strictObject({
        misbehavior: placement(misbehaviorSchema.prefault({})).describe('What goes wrong.'),
      }),
      relevantVersions: async () => ({ 'fake-trainer': '1' }),
      prepare: async ({ misbehavior }) => ({
        argv: [process.execPath, fakeTrainerProgram()],
        env: { SIMMER_FAKE_TRAINER: JSON.stringify(misbehavior) },
      }),
    }),
  },
});

export default fakeTrainerPlugin;

/**
 * The compiled program of the fake trainer. Tests that run from the TypeScript sources need it built, and as new as the
 * sources.
 */
export function fakeTrainerProgram(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  if (!import.meta.url.endsWith('.ts')) return join(here, 'fake-trainer', 'main.js');
  const sources = join(here, 'fake-trainer');
  const built = resolve(here, '../../dist/core/testing/fake-trainer');
  const isStale = (name: string) => {
    const program = join(built, name.replace(/\.ts$/, '.js'));
    return !existsSync(program) || statSync(program).mtimeMs < statSync(join(sources, name)).mtimeMs;
  };
  const stale = readdirSync(sources).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && isStale(name),
  );
  if (stale.length > 0) throw new Error(`The fake trainer is not built (${stale.join(', ')}): run "npx tsc" first.`);
  return join(built, 'main.js');
}
