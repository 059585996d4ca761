import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { exitCodes, UserError } from '../../errors.js';
import { checkNames, verifyTrainer } from '../../testing/trainer-conformance/verify-trainer.js';
import type { ModelSource } from '../../trainer/trainer.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import { resultLines, summaryLine } from '../verification-table.js';

interface VerifyFlags {
  readonly only: readonly string[];
  readonly model?: string;
  readonly patience: number;
  readonly json?: boolean;
}

/** `simmer trainer verify`: holds a trainer of any language against the contract. Exits with 4 where a check fails. */
export async function trainerVerify(command: readonly string[], flags: VerifyFlags): Promise<number> {
  const colors = colorsFor(process.stdout);
  const width = Math.max(...checkNames.map((name) => name.length));
  const verification = await verifyTrainer({
    command,
    patienceSeconds: flags.patience,
    ...(flags.only.length === 0 ? {} : { only: flags.only }),
    ...(flags.model === undefined ? {} : { model: await modelAt(flags.model) }),
    // Each as it comes: a trainer that starts slowly takes minutes.
    onResult: (result) => {
      if (!flags.json) process.stdout.write(`${resultLines(result, width, colors).join('\n')}\n`);
    },
  });
  const { trainer, results } = verification;
  const who = trainer === undefined ? 'The trainer' : `${trainer.name} ${trainer.version}`;
  const undeclared = 'of capabilities that it does not declare';
  if (flags.json) await writeJson(verification);
  else await writeLine(`\n${summaryLine({ who, contract: 'simmer.trainer.v1', results, undeclared }, colors)}`);
  return verification.hasPassed ? exitCodes.ok : exitCodes.runFailed;
}

async function modelAt(path: string): Promise<ModelSource> {
  const absolute = resolve(path);
  const found = await stat(absolute).catch(() => undefined);
  if (found === undefined) {
    throw new UserError('model_not_found', `There is no model ${path}.`, {
      hint: 'Name a Hugging Face folder or a GGUF file; without --model, a small random model is used.',
    });
  }
  return found.isDirectory() ? { kind: 'folder', folder: absolute } : { kind: 'gguf', file: absolute };
}
