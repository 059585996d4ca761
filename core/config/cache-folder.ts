import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writingTo } from '../files/disk-error.js';

/** The user's cache folder where nothing else is set: Python environments and fetched models of all projects. */
export function defaultCacheFolder(env: NodeJS.ProcessEnv): string {
  if (env.XDG_CACHE_HOME !== undefined && env.XDG_CACHE_HOME !== '') return join(env.XDG_CACHE_HOME, 'simmer');
  const home = env.HOME !== undefined && env.HOME !== '' ? env.HOME : homedir();
  return process.platform === 'darwin' ? join(home, 'Library', 'Caches', 'simmer') : join(home, '.cache', 'simmer');
}

/** Runs what writes to a user's cache folder, with failures told as `diskError` does. */
export function writingToCache<T>(cacheFolder: string, action: () => Promise<T>): Promise<T> {
  return writingTo(cacheFolder, action, 'SIMMER_CACHE or `cacheFolder` in the settings');
}

/** @throws UserError `not_writable` and its like */
export async function makeCacheFolder(cacheFolder: string): Promise<void> {
  await writingToCache(cacheFolder, () => mkdir(cacheFolder, { recursive: true }));
}
