import { defaultCacheFolder } from '../../config/cache-folder.js';
import { detectMachine } from '../../config/machine.js';
import type { Settings } from '../../config/settings.js';

/** What plugins that are processes are given of the machine and its user. */
export interface ProcessMachine {
  readonly cacheFolder: string;
  /** The Python that the user's settings name. */
  readonly python?: string;
  /** What a process may take where nobody says otherwise, in bytes. */
  readonly memoryBytes: number;
  /** Tells people what takes long: an environment that is made. */
  say(message: string): void;
}

export function processMachine(settings: Settings, say: (message: string) => void): ProcessMachine {
  const { cacheFolder, python, resources } = settings;
  return { cacheFolder, ...(python === undefined ? {} : { python }), memoryBytes: resources.memoryBytes, say };
}

/** By the environment alone, for who has no settings. */
export function defaultProcessMachine(): ProcessMachine {
  const { env } = process;
  const { memoryBytes } = detectMachine(env);
  return { cacheFolder: env.SIMMER_CACHE ?? defaultCacheFolder(env), memoryBytes, say: () => {} };
}
