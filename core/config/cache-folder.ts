import { join } from 'node:path';
import { UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder } from '../files/durable-files.js';
import { userFolder } from './user-folder.js';

/**
 * The user's cache folder where nothing else is set: Python environments and fetched models of all projects.
 * @throws UserError `user_folder_unknown`
 */
export function defaultCacheFolder(env: NodeJS.ProcessEnv): string {
  if (env.XDG_CACHE_HOME !== undefined && env.XDG_CACHE_HOME !== '') return join(env.XDG_CACHE_HOME, 'simmer');
  const home = userFolder(env);
  return process.platform === 'darwin' ? join(home, 'Library', 'Caches', 'simmer') : join(home, '.cache', 'simmer');
}

const chosenBy = 'SIMMER_CACHE or `cacheFolder` in the settings';

/** Runs what writes to a user's cache folder, with failures told as `diskError` does. */
export function writingToCache<T>(cacheFolder: string, action: () => Promise<T>): Promise<T> {
  return writingTo(cacheFolder, action, chosenBy);
}

/** @throws UserError `not_writable` and its like */
export async function makeCacheFolder(cacheFolder: string): Promise<void> {
  await writingToCache(cacheFolder, async () => {
    try {
      await makeFolder(cacheFolder);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const isFile = code === 'ENOTDIR' || code === 'EEXIST';
      if (!isFile && code !== 'ENOENT') throw error;
      throw new UserError('not_writable', `Cannot write to ${cacheFolder}: ${message}.`, {
        kind: 'environment',
        hint: `${isFile ? 'A file is where a folder should be. ' : ''}Choose another one with ${chosenBy}.`,
        cause: error,
      });
    }
  });
}
