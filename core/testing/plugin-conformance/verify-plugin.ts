import { rm } from 'node:fs/promises';
import { isUserError } from '../../errors.js';
import { makeTemporaryFolder } from '../../files/temporary-folder.js';
import type { PluginCommand } from '../../plugin/process/plugin-process.js';
import type { ProcessPlugin } from '../../plugin/process/process-plugin.js';
import { type CheckResult, chosenChecks, Deviation, haveAllPassed, resultOf, show } from '../verification.js';
import { declarations, type PluginCheck } from './check.js';
import { endingChecks } from './checks/ending.js';
import { hookChecks } from './checks/hooks.js';
import { launcherChecks } from './checks/launchers.js';
import { planningChecks } from './checks/planning.js';
import { runningChecks } from './checks/running.js';
import { servingChecks } from './checks/serving.js';
import { startingChecks } from './checks/starting.js';
import { trainerChecks } from './checks/trainers.js';
import { PluginBench } from './plugin-bench.js';

const checks: readonly PluginCheck[] = [
  ...startingChecks,
  ...planningChecks,
  ...runningChecks,
  ...trainerChecks,
  ...launcherChecks,
  ...servingChecks,
  ...hookChecks,
  ...endingChecks,
];

/** Names of all checks, in the order in which they run. */
export const pluginCheckNames: readonly string[] = checks.map(({ name }) => name);

interface VerifyPluginOptions {
  readonly plugin: ProcessPlugin;
  /** How it is started here; see `commandOf`. */
  readonly command: PluginCommand;
  /** Only these checks. @default all */
  readonly only?: readonly string[];
  /** How long whatever has no limit of its own may take, the start among it. @default 30 */
  readonly patienceSeconds?: number;
  /** Called with each result as it comes. */
  onResult?(result: CheckResult): void;
}

interface PluginVerification {
  /** As the plugin names itself; absent where it did not come so far. */
  readonly plugin?: { readonly name: string; readonly version: string };
  readonly results: readonly CheckResult[];
  /** Whether no check failed or could not be run. */
  readonly hasPassed: boolean;
}

/**
 * Holds a plugin, in any language, against the contract of simmer.plugin.v1: starts it as the host does, several times
 * over, and tries each clause. Leaves no process and no file behind.
 * @throws UserError `check_unknown`, `program_not_found`
 */
export async function verifyPlugin(options: VerifyPluginOptions): Promise<PluginVerification> {
  const chosen = chosenChecks(checks, options.only);
  const folder = await makeTemporaryFolder('simmer-verify-');
  const { plugin, command, patienceSeconds: patience = 30 } = options;
  const bench = await PluginBench.open({ plugin, command, folder, patience });
  const results: CheckResult[] = [];
  try {
    const why = await reasonNotToStart(bench);
    for (const check of chosen) {
      const result = await runCheck(check, bench, why);
      results.push(result);
      options.onResult?.(result);
      // What a broken check left in the process is no business of the next.
      if (result.status === 'failed') bench.discardShared();
    }
    const described = why === undefined ? await bench.describe().catch(() => undefined) : undefined;
    return {
      ...(described === undefined ? {} : { plugin: { name: described.name, version: described.version } }),
      results,
      hasPassed: haveAllPassed(results),
    };
  } finally {
    await bench.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function reasonNotToStart(bench: PluginBench): Promise<string | undefined> {
  try {
    await bench.shared();
    return undefined;
  } catch (error) {
    if (isUserError(error) && error.code === 'program_not_found') throw error;
    return show(error);
  }
}

/** @param why the plugin did not start */
async function runCheck(check: PluginCheck, bench: PluginBench, why: string | undefined): Promise<CheckResult> {
  const { name, expects, needs } = check;
  const left = (status: CheckResult['status'], saw: string) => ({ name, status, expected: expects, saw, seconds: 0 });
  if (why !== undefined) {
    if (name !== 'handshake') return left('notRun', 'the plugin did not start');
    return resultOf(name, expects, () => Promise.reject(new Deviation(expects, why)));
  }
  if (needs !== undefined) {
    const definition = await bench.definition().catch(() => undefined);
    if (definition === undefined) return left('notRun', 'Describe says nothing that the host can take');
    if (!declarations[needs](await bench.describe())) return left('notDeclared', `the plugin has no ${needs}`);
  }
  return resultOf(name, expects, () => check.run(bench));
}
