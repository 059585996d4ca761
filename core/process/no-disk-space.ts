import { UserError } from '../errors.js';

/** The disk is full. @param path where it was to be written */
export function noDiskSpace(path: string, cause: unknown): UserError {
  return new UserError('no_disk_space', `There is no space left on the disk of ${path}.`, {
    kind: 'environment',
    hint: 'Free some, or move the cache folder with SIMMER_CACHE.',
    cause,
  });
}
