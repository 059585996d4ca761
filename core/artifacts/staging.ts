import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { processIdentity } from '../process/process-identity.js';
import { acquireRunLock, readRunOwner } from '../process/run-lock.js';

/** A folder that its process has to itself. Disposal removes it. */
export interface StagingFolder extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a folder that is locked for as long as its process works in it, so that others can tell when nobody does any more.
 * @param isForRemoval as of `acquireRunLock`
 */
export async function makeStagingFolder(staging: string, isForRemoval = false): Promise<StagingFolder> {
  const path = join(staging, `${await ownerName(process.pid)}-${randomBytes(6).toString('hex')}`);
  await mkdir(path, { recursive: true });
  const lock = await acquireRunLock(path, {}, { isForRemoval });
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await lock[Symbol.asyncDispose]();
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** Removes what processes of this machine left behind when they died. What cannot be removed stays. */
export async function removeStaleStaging(staging: string): Promise<void> {
  for (const name of await readdir(staging).catch(() => [])) {
    const folder = join(staging, name);
    if (await isStale(folder, name).catch(() => false))
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function isStale(folder: string, name: string): Promise<boolean> {
  const owner = await readRunOwner(folder);
  if (owner !== undefined) return !owner.alive;
  // It was not locked yet when its process died, or was made by a Simmer that locked none.
  const match = /^(([0-9a-f]{8})-(\d+)-[0-9a-f]{8})-[0-9a-f]+$/.exec(name);
  if (match === null || match[2] !== short(hostname())) return false;
  return (await ownerName(Number(match[3]))) !== match[1];
}

/** Host, pid, and when that process started: a pid alone is used again. */
async function ownerName(pid: number): Promise<string> {
  const identity = await processIdentity(pid);
  return `${short(hostname())}-${pid}-${short(identity?.startTime ?? '')}`;
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
