import { rm } from 'node:fs/promises';
import { isUserError } from '../../errors.js';
import { makeTemporaryFolder } from '../../files/temporary-folder.js';
import type { ModelSource as ModelSourceMessage } from '../../generated/simmer/trainer/v1/trainer.js';
import { toModelSourceMessage } from '../../trainer/requests-to-wire.js';
import type { Capability, ModelSource } from '../../trainer/trainer.js';
import { type CheckResult, chosenChecks, Deviation, haveAllPassed, resultOf, show } from '../verification.js';
import type { TrainerCheck } from './check.js';
import { adaptingChecks } from './checks/adapting.js';
import { cancelingChecks, endingChecks } from './checks/ending.js';
import { evaluatingChecks } from './checks/evaluating.js';
import { exportingChecks } from './checks/exporting.js';
import { generatingChecks } from './checks/generating.js';
import { hyperparameterChecks } from './checks/hyperparameters.js';
import { inspectingChecks } from './checks/inspecting.js';
import { recoveringChecks } from './checks/recovering.js';
import { requestingChecks } from './checks/requesting.js';
import { startingChecks } from './checks/starting.js';
import { trainingChecks } from './checks/training.js';
import { watchingChecks } from './checks/watching.js';
import { TrainerBench } from './trainer-bench.js';

const checks: readonly TrainerCheck[] = [
  ...startingChecks,
  ...trainingChecks,
  ...evaluatingChecks,
  ...hyperparameterChecks,
  ...adaptingChecks,
  ...watchingChecks,
  ...requestingChecks,
  ...cancelingChecks,
  ...recoveringChecks,
  ...inspectingChecks,
  ...generatingChecks,
  ...exportingChecks,
  ...endingChecks,
];

/** Names of all checks, in the order in which they run. */
export const checkNames: readonly string[] = checks.map(({ name }) => name);

export interface VerifyOptions {
  /** The program of the trainer, and its arguments; no shell is asked. */
  readonly command: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** What is trained and generated from. @default a random model of about 100,000 weights */
  readonly model?: ModelSource;
  /** Only these checks. @default all */
  readonly only?: readonly string[];
  /** How long whatever has no limit of its own may take, the start among it. @default 120 */
  readonly patienceSeconds?: number;
  /** Called with each result as it comes. */
  onResult?(result: CheckResult): void;
}

export interface Verification {
  /** As the trainer names itself; absent where it did not come so far. */
  readonly trainer?: { readonly name: string; readonly version: string; readonly capabilities: readonly Capability[] };
  readonly results: readonly CheckResult[];
  /** Whether no check failed or could not be run. */
  readonly hasPassed: boolean;
}

const randomModel: ModelSource = {
  kind: 'random',
  seed: 1,
  config: {
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    // Draws random numbers in every step of a training: a resume must go on where they were.
    attention_dropout: 0.1,
  },
};

/**
 * Holds a trainer, in any language, against the contract of simmer.trainer.v1: starts it as a launcher does, several times
 * over, kills it, and tries each clause of what it declares. Takes seconds, or minutes where the trainer starts slowly;
 * leaves no process and no file behind.
 * @throws UserError `check_unknown`, `program_not_found`
 */
export async function verifyTrainer(options: VerifyOptions): Promise<Verification> {
  const chosen = chosenChecks(checks, options.only);
  const folder = await makeTemporaryFolder('simmer-verify-');
  const bench = await TrainerBench.open({
    argv: options.command,
    env: { ...process.env, ...options.env },
    folder,
    model: toModelSourceMessage(options.model ?? randomModel) satisfies ModelSourceMessage,
    patienceSeconds: options.patienceSeconds ?? 120,
  });
  const results: CheckResult[] = [];
  const tell = (result: CheckResult) => {
    results.push(result);
    options.onResult?.(result);
  };
  try {
    let capabilities: ReadonlySet<Capability> | undefined;
    let why: string | undefined;
    try {
      await bench.trainer();
      capabilities = await bench.capabilities();
    } catch (error) {
      if (isUserError(error) && error.code === 'program_not_found') throw error;
      why = show(error);
    }
    for (const check of chosen) tell(await runCheck(check, bench, capabilities, why));
    const described = capabilities === undefined ? undefined : await bench.describe();
    return {
      ...(described === undefined
        ? {}
        : { trainer: { name: described.name, version: described.version, capabilities: [...(capabilities ?? [])] } }),
      results,
      hasPassed: haveAllPassed(results),
    };
  } finally {
    await bench.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param why the trainer did not start, or cannot be asked what it is */
async function runCheck(
  check: TrainerCheck,
  bench: TrainerBench,
  capabilities: ReadonlySet<Capability> | undefined,
  why: string | undefined,
): Promise<CheckResult> {
  const { name, expects } = check;
  const missing = check.needs.filter((need) => capabilities?.has(need) === false);
  if (missing.length > 0) {
    const saw = `the trainer does not declare ${missing.join(', ')}`;
    return { name, status: 'notDeclared', expected: expects, saw, seconds: 0 };
  }
  if (capabilities === undefined && name !== 'handshake') {
    return { name, status: 'notRun', expected: expects, saw: 'the trainer did not start', seconds: 0 };
  }
  try {
    const result = await resultOf(name, expects, async () => {
      if (why !== undefined) throw new Deviation(expects, why);
      return check.run(bench);
    });
    const stderr = await bench.lastStderr();
    return result.status === 'failed' && stderr !== '' ? { ...result, stderr } : result;
  } finally {
    await bench.settle();
  }
}
