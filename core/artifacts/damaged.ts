import { UserError } from '../errors.js';

export function damaged(file: string, cause: Error): UserError {
  return new UserError('artifact_damaged', `Cannot read the table ${file}: ${cause.message}`, {
    kind: 'environment',
    hint: 'Remove the folder of the artifact; what made it will make it again.',
    cause,
  });
}
