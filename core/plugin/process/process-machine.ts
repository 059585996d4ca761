import { defaultCacheFolder, makeCacheFolder } from '../../config/cache-folder.js';
import { detectMachine } from '../../config/machine.js';
import type { Settings } from '../../config/settings.js';
import { formatCount } from '../../figures.js';
import type { PrepareContext } from '../definitions.js';

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

/** For a process that is started for no stage: what it prepares is told to people. @throws UserError `not_writable` and the like */
export async function prepareContext(machine: ProcessMachine, recipeFolder: string): Promise<PrepareContext> {
  const { cacheFolder, python, say } = machine;
  await makeCacheFolder(cacheFolder);
  return {
    log: { debug() {}, info: say, warning: say, error: say },
    signal: new AbortController().signal,
    cacheFolder,
    recipeFolder,
    ...(python === undefined ? {} : { python }),
    emit: progressTo(say),
  };
}

/** Between two lines about how far an environment is. */
const progressMilliseconds = 10_000;

/** Where no console of a run shows how many packages are there. */
function progressTo(say: (message: string) => void): PrepareContext['emit'] {
  let saidAt = performance.now();
  return async ({ type, data }) => {
    const now = performance.now();
    if (type !== 'stage.progressed' || now - saidAt < progressMilliseconds) return;
    saidAt = now;
    const { done, total, unit } = data;
    say(`${formatCount(done)}${total === null ? '' : `/${formatCount(total)}`} ${unit}`);
  };
}
