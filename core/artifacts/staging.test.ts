import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { processIdentity, processPlace } from '../process/process-identity.js';
import { makeStagingFolder, removeStaleStaging } from './staging.js';

let staging: string;
beforeEach(async () => {
  staging = await temporaryFolder();
});

/** A folder as a process leaves it that was killed. */
async function leftBehind(name: string, host: string, process: object = { pid: 999_999_999 }): Promise<void> {
  await mkdir(join(staging, name));
  const owner = { ...(await processPlace()), ...process, host, startedAt: '2026-01-01T00:00:00.000Z' };
  await writeFile(join(staging, name, 'owner.json'), JSON.stringify(owner));
}

describe('what is left in staging', () => {
  it('goes where its process is gone, also where this machine had another name then', async () => {
    await using living = await makeStagingFolder(staging);
    await leftBehind('0badcafe-999999999-00000000-1', 'a-former-name');
    await removeStaleStaging(staging);
    expect(await readdir(staging)).toEqual([basename(living.path)]);
  });

  it('goes where a process died before it had locked its folder', async () => {
    await using living = await makeStagingFolder(staging);
    await mkdir(living.path.replace(`-${process.pid}-`, '-999999999-'));
    await removeStaleStaging(staging);
    expect(await readdir(staging)).toEqual([basename(living.path)]);
  });

  it('stays where a process is at work whose pid nobody knows here, as of a container with the name of its host', async () => {
    const living = await makeStagingFolder(staging);
    const name = basename(living.path).replace(`-${process.pid}-`, '-999999999-');
    await rename(living.path, join(staging, name));
    await removeStaleStaging(staging);
    expect(await readdir(staging)).toEqual([name]);
    await living[Symbol.asyncDispose]();
  });

  it('stays where its process is seen, but not its lock, as from a sandbox without a network', async () => {
    const name = '0badcafe-1-00000000-1';
    const { pid, startTime: processStartTime } = (await processIdentity(process.ppid))!;
    await leftBehind(name, hostname(), { pid, processStartTime });
    await removeStaleStaging(staging);
    expect(await readdir(staging)).toEqual([name]);
  });

  it('stays where nobody can tell whether its process is gone', async () => {
    await mkdir(join(staging, 'somebody-elses'));
    await removeStaleStaging(staging);
    expect(await readdir(staging)).toEqual(['somebody-elses']);
  });

  it('is nothing once its process is done', async () => {
    await (await makeStagingFolder(staging))[Symbol.asyncDispose]();
    expect(await readdir(staging)).toEqual([]);
  });
});

it('a folder is to be had after others were removed under their locks, whose inodes it may get', async () => {
  const removed = await Promise.all(Array.from({ length: 20 }, () => makeStagingFolder(staging)));
  for (const { path } of removed) await rm(path, { recursive: true });
  const made = await Promise.all(Array.from({ length: 20 }, () => makeStagingFolder(staging)));
  expect((await readdir(staging)).sort()).toEqual(made.map(({ path }) => basename(path)).sort());
  for (const folder of [...removed, ...made]) await folder[Symbol.asyncDispose]();
});
