import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { processIdentity } from '../process/process-identity.js';

/** Makes a folder that names its process, so that another can tell when nobody works in it any more. */
export async function makeStagingFolder(staging: string): Promise<string> {
  const folder = join(staging, `${await ownerName(process.pid)}-${randomBytes(6).toString('hex')}`);
  await mkdir(folder, { recursive: true });
  return folder;
}

/** Removes what processes of this host left behind when they died. What cannot be removed stays. */
export async function removeStaleStaging(staging: string): Promise<void> {
  for (const name of await readdir(staging).catch(() => [])) {
    const match = /^(([0-9a-f]{8})-(\d+)-[0-9a-f]{8})-[0-9a-f]+$/.exec(name);
    if (match === null || match[2] !== short(hostname())) continue;
    if ((await ownerName(Number(match[3]))) === match[1]) continue;
    await rm(join(staging, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Host, pid, and when that process started: a pid alone is used again. */
async function ownerName(pid: number): Promise<string> {
  const identity = await processIdentity(pid);
  return `${short(hostname())}-${pid}-${short(identity?.startTime ?? '')}`;
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
