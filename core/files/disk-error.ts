import { UserError } from '../errors.js';

const notWritable: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS']);

/**
 * What a failure to write means to the user: `no_disk_space`, `not_writable`, `file_too_large` or `disk_failed`. Any other error
 * is given back as it is. @param folder what could not be written to @param option by which the user chooses another
 */
export function diskError(error: unknown, folder: string, option = '--home or SIMMER_HOME'): unknown {
  if (!(error instanceof Error)) return error;
  if (isDiskFull(error)) {
    return new UserError('no_disk_space', `There is no space left for ${folder}.`, {
      kind: 'environment',
      hint: `Free some space, or choose another place with ${option}.`,
      cause: error,
    });
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && notWritable.has(code)) {
    return new UserError('not_writable', `Cannot write to ${folder}: ${error.message}.`, {
      kind: 'environment',
      hint: `Choose a folder that you may write to with ${option}.`,
      cause: error,
    });
  }
  if (code === 'EFBIG' || (code === undefined && /: File too large\b/.test(error.message))) {
    return new UserError('file_too_large', `A file in ${folder} may not become that large: ${error.message}.`, {
      kind: 'environment',
      hint: `See \`ulimit -f\`, or choose another place with ${option}.`,
      cause: error,
    });
  }
  if (code === 'EIO') {
    return new UserError('disk_failed', `The disk fails at ${folder}: ${error.message}.`, {
      kind: 'environment',
      hint: `See to the disk, or choose another place with ${option}.`,
      cause: error,
    });
  }
  return error;
}

/** Runs what writes to a folder, with failures told as `diskError` does. */
export async function writingTo<T>(folder: string, action: () => Promise<T>, option?: string): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw diskError(error, folder, option);
  }
}

/** Whether no space is left, or none for this user. DuckDB's errors have no code, only the system's words for it. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined) return code === 'ENOSPC' || code === 'EDQUOT';
  return /No space left on device|Disk quota exceeded/i.test(error.message);
}
