import type { PluginDefinition } from 'simmerkit';
import { RunHarness } from 'simmerkit/testing';
import { builtModule } from '../built-module.js';
import type { Misbehavior } from './fixture-misbehaviors.js';

export const program = builtModule('test/integration/process-plugin/fixture.ts');

/** Makes harnesses with these plugins, the built-in ones, and the fixture, which misbehaves so. */
export const harnessWith =
  (...plugins: readonly PluginDefinition[]) =>
  (misbehavior: Misbehavior, limits: Readonly<Record<string, number>> = {}): Promise<RunHarness> =>
    RunHarness.create({
      plugins,
      listedPlugins: [{ command: [process.execPath, program, misbehavior], limits }],
      withBuiltIn: true,
    });

/** What the work is rejected with; undefined where it is not. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );
