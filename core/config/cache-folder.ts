import { homedir } from 'node:os';
import { join } from 'node:path';

/** The user's cache folder where nothing else is set: Python environments and fetched models of all projects. */
export function defaultCacheFolder(env: NodeJS.ProcessEnv): string {
  if (env.XDG_CACHE_HOME !== undefined && env.XDG_CACHE_HOME !== '') return join(env.XDG_CACHE_HOME, 'simmer');
  const home = env.HOME !== undefined && env.HOME !== '' ? env.HOME : homedir();
  return process.platform === 'darwin' ? join(home, 'Library', 'Caches', 'simmer') : join(home, '.cache', 'simmer');
}
