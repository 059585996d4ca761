import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Colors } from 'picocolors/types.js';
import { exitCodes, UserError } from '../../errors.js';
import type { CheckResult } from '../../testing/conformance/check.js';
import { checkNames, type Verification, verifyTrainer } from '../../testing/conformance/verify-trainer.js';
import type { ModelSource } from '../../trainer/trainer.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';

export interface VerifyFlags {
  readonly only: readonly string[];
  readonly model?: string;
  readonly patience: number;
  readonly json?: boolean;
}

/** `simmer trainer verify`: holds a trainer of any language against the contract. Exits with 4 where a check fails. */
export async function trainerVerify(command: readonly string[], flags: VerifyFlags): Promise<number> {
  const colors = colorsFor(process.stdout);
  const verification = await verifyTrainer({
    command,
    patienceSeconds: flags.patience,
    ...(flags.only.length === 0 ? {} : { only: flags.only }),
    ...(flags.model === undefined ? {} : { model: await modelAt(flags.model) }),
    // Each as it comes: a trainer that starts slowly takes minutes.
    onResult: (result) => {
      if (!flags.json) process.stdout.write(`${resultLines(result, colors).join('\n')}\n`);
    },
  });
  if (flags.json) await writeJson(verification);
  else await writeLine(`\n${summary(verification, colors)}`);
  return verification.hasPassed ? exitCodes.ok : exitCodes.runFailed;
}

const nameWidth = Math.max(...checkNames.map((name) => name.length));

/** A row of the table; below it, where a check failed, what it expected and saw. */
export function resultLines({ name, status, expected, saw, seconds }: CheckResult, colors: Colors): readonly string[] {
  const marks = {
    passed: colors.green('passed'),
    failed: colors.red('failed'),
    notDeclared: colors.dim('–     '),
    notRun: colors.yellow('notrun'),
  };
  const time = status === 'passed' || status === 'failed' ? `${seconds.toFixed(1)} s` : '';
  const row = `${marks[status]}  ${name.padEnd(nameWidth)}  ${time.padStart(7)}`;
  if (status === 'passed') return [row];
  if (status !== 'failed') return [`${row}  ${colors.dim(saw ?? '')}`.trimEnd()];
  return [row, `        expected: ${expected}`, `        saw:      ${saw ?? 'nothing'}`];
}

function summary({ trainer, results, hasPassed }: Verification, colors: Colors): string {
  const count = (status: CheckResult['status']) => results.filter((result) => result.status === status).length;
  const who = trainer === undefined ? 'The trainer' : `${trainer.name} ${trainer.version}`;
  const counts = [
    `${count('passed')} passed`,
    `${count('failed')} failed`,
    ...(count('notDeclared') === 0 ? [] : [`${count('notDeclared')} of capabilities that it does not declare`]),
    ...(count('notRun') === 0 ? [] : [`${count('notRun')} not run`]),
  ];
  const verdict = hasPassed
    ? colors.green('keeps the contract of simmer.trainer.v1')
    : colors.red('does not keep the contract of simmer.trainer.v1');
  return `${who} ${verdict}: ${counts.join(', ')}.`;
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
