import { isUserError, UserError } from '../errors.js';
import { systemError } from '../files/system-error.js';

/** A table that cannot be read: it is damaged, unless the system says that it is something else. */
export function damaged(file: string, cause: Error): UserError {
  const told = systemError(cause);
  if (isUserError(told)) return told;
  return new UserError('artifact_damaged', `Cannot read the table ${file}: ${cause.message}`, {
    kind: 'environment',
    hint: 'Remove the folder of the artifact; what made it will make it again.',
    cause,
  });
}
