import { UserError } from '../errors.js';

/** The folder that the command was given in; undefined where it was removed since the shell went there. */
export function workingFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** @throws UserError `working_folder_missing` */
export function requireWorkingFolder(): void {
  if (workingFolder() !== undefined) return;
  throw new UserError('working_folder_missing', 'The folder that you are in was removed.', {
    kind: 'environment',
    hint: 'Go to one that is there; if it was made anew: cd "$PWD"',
  });
}
