import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '../files/unless-missing.js';
import type { ProcessPlace } from './process-identity.js';

/** Who writes, or wrote, a run. */
export interface RunOwner extends ProcessPlace {
  readonly pid: number;
  /** ISO 8601: when it took the run up. */
  readonly startedAt: string;
  /** When its process started, as `ProcessIdentity` has it: a pid alone is used again. */
  readonly processStartTime?: string;
  /** The signal by which others may ask it to stop the run; absent: it listens to none, and one would kill it. */
  readonly cancelSignal?: string;
  /** The run that it holds a folder for which is not the run's own. */
  readonly runId?: string;
  /** Kernel and mounted file system where a socket in the folder shows its lock to every container that has both. */
  readonly shownOn?: string;
}

export const ownerFile = 'owner.json';

/** Undefined where there is none, or half of one. */
export async function readOwnerFile(folder: string): Promise<RunOwner | undefined> {
  try {
    const owner = JSON.parse(await readFile(join(folder, ownerFile), 'utf8')) as Partial<RunOwner> | null;
    if (typeof owner?.pid !== 'number' || typeof owner.host !== 'string' || typeof owner.startedAt !== 'string') {
      return undefined;
    }
    const { pid, host, machine, startedAt, processStartTime, cancelSignal, runId, shownOn } = owner;
    return {
      ...{ pid, host, startedAt },
      ...(typeof machine === 'string' ? { machine } : {}),
      ...(typeof processStartTime === 'string' ? { processStartTime } : {}),
      ...(typeof cancelSignal === 'string' ? { cancelSignal } : {}),
      ...(typeof runId === 'string' ? { runId } : {}),
      ...(typeof shownOn === 'string' ? { shownOn } : {}),
    };
  } catch (error) {
    if (error instanceof SyntaxError || isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Never half there for a reader. It need not be durable: after a power cut nobody owns the run. Only who has the lock writes
 * it, so a draft that is there was left by a kill.
 */
export async function writeOwnerFile(folder: string, owner: RunOwner): Promise<void> {
  const draft = join(folder, `.${ownerFile}.new`);
  try {
    await writeFile(draft, `${JSON.stringify(owner)}\n`);
    await rename(draft, join(folder, ownerFile));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
