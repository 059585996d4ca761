import { type ErrorRecord, isUserError, toErrorRecord, UserError } from '../errors.js';
import { diskError } from '../files/disk-error.js';
import type { PlannedStage } from '../recipe/plan.js';

/**
 * What a stage threw, wrapped once: it names the stage and its plugin, and keeps the cause. A user error keeps its code
 * and its hint; anything else is the plugin's bug, `stage_failed`.
 */
export function stageError(stage: PlannedStage, thrown: unknown, home: string): UserError {
  const where = `Stage "${stage.name}" (${stage.uses})`;
  const cause = isFullDisk(thrown) ? diskError(thrown, home) : thrown;
  if (isUserError(cause)) {
    return new UserError(cause.code, `${where}: ${cause.message}`, {
      kind: cause.kind === 'environment' ? 'environment' : 'runFailed',
      problems: cause.problems,
      cause,
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    });
  }
  const plugin = stage.uses.split('/')[0];
  const message = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return new UserError('stage_failed', `${where} failed: ${message}`, {
    kind: 'runFailed',
    hint: `This is an error in the plugin "${plugin}", or in what it was given. \`simmer resume\` tries the stage again.`,
    cause,
  });
}

/** The record of a stage's error, with the stack where the plugin has a bug: it is for the plugin's author. */
export function stageErrorRecord(error: UserError): ErrorRecord {
  const record = toErrorRecord(error);
  const cause = error.cause;
  if (isUserError(cause) || !(cause instanceof Error) || cause.stack === undefined) return record;
  return { ...record, stack: cause.stack };
}

/** A file that a stage may not read is its affair; a disk that is full is the machine's. */
function isFullDisk(error: unknown): boolean {
  const told = diskError(error, '');
  return isUserError(told) && told.code === 'no_disk_space';
}
