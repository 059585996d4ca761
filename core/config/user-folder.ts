import { userInfo } from 'node:os';
import { UserError } from '../errors.js';

/**
 * The folder of this user.
 * @throws UserError `user_folder_unknown` where HOME is not set and the system has no such user, as in containers that are
 * run with any id
 */
export function userFolder(env: NodeJS.ProcessEnv): string {
  if (env.HOME !== undefined && env.HOME !== '') return env.HOME;
  try {
    // Not homedir(): where HOME is empty, so is that, and the cache would be in whatever folder a command is in.
    return userInfo().homedir;
  } catch (cause) {
    throw new UserError(
      'user_folder_unknown',
      `HOME is not set, and the system knows no user with the id ${process.getuid?.()}.`,
      { kind: 'environment', hint: 'Set HOME to a folder that you may write to.', cause },
    );
  }
}
