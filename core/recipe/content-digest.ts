import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { sha256OfFile } from '../files/file-hash.js';
import { isGlob, matchingFiles } from '../files/matching-files.js';
import { unlessMissing } from '../files/unless-missing.js';
import { inOrder } from '../in-order.js';
import { RecentlyUsed } from '../recently-used.js';

/**
 * Digest of what a recipe names: a file, a folder, or, where there is nothing of that name, a glob.
 *
 * @returns SHA-256, lower-case hex; undefined where there is none
 * @throws UserError `not_a_file`
 */
export async function namedDigest(name: string, folder: string): Promise<string | undefined> {
  const digest = await contentDigest(resolve(folder, name));
  return digest === undefined && isGlob(name) ? globDigest(name, folder) : digest;
}

/**
 * Digest of a file's content, or of all files of a folder by their names inside of it, but for those of a home of Simmer's
 * that is in it: each run writes there.
 *
 * @returns SHA-256, lower-case hex; undefined where there is nothing of that name
 * @throws UserError `not_a_file` for a pipe or a device, which might never end
 */
export async function contentDigest(path: string): Promise<string | undefined> {
  const stats = await stat(path, { bigint: true }).catch(unlessMissing);
  if (stats === undefined) return undefined;
  return stats.isDirectory() ? folderDigest(path, await readdir(path), mostTogether) : fileDigest(path, stats);
}

/** What is looked at together of one folder or glob: on a network disk each answer takes its time. */
const mostTogether = 8;

/** @param together so many of its entries, and half as many of each folder in it: few files are read at once */
async function folderDigest(folder: string, names: readonly string[], together: number): Promise<string> {
  const hash = createHash('sha256');
  const entries = names.toSorted().map((name) => () => entryOf(folder, name, Math.max(1, together / 2)));
  for await (const entry of inOrder(entries, together)) hash.update(entry);
  return hash.digest('hex');
}

/** What stands in a folder's digest for an entry of it: nothing for a home. */
async function entryOf(folder: string, name: string, together: number): Promise<string> {
  const path = join(folder, name);
  const stats = await stat(path, { bigint: true }).catch(unlessMissing);
  if (stats === undefined) return `${name}\0\0`;
  if (!stats.isDirectory()) return `${name}\0${await fileDigest(path, stats)}\0`;
  const names = await readdir(path);
  if (names.includes('format') && names.includes('runs')) return '';
  return `${name}\0${await folderDigest(path, names, together)}\0`;
}

/** More files than recipes name: of more, each would be hashed anew. Some hundred megabytes. */
const mostKnown = 500_000;
/** Files are large, and are looked at when they are planned, and before and after they are read. */
const digests = new RecentlyUsed<{ readonly state: string; readonly sha256: string }>(mostKnown);
/** In milliseconds: a file that was written just before may be written again at what its file system calls the same time. */
const settledAfter = 2_000;

async function fileDigest(path: string, stats: BigIntStats): Promise<string> {
  if (!stats.isFile()) {
    throw new UserError('not_a_file', `${path} is a device or pipe, neither a file nor a folder.`, {
      hint: 'Write its content to a file first.',
    });
  }
  const state = stateOf(stats);
  const known = digests.get(path);
  if (known?.state === state) return known.sha256;
  const isSettled = Date.now() - Number(stats.ctimeMs) > settledAfter;
  const sha256 = await sha256OfFile(path);
  if (isSettled && stateOf(await stat(path, { bigint: true })) === state) {
    digests.set(path, { state, sha256 });
  } else {
    digests.delete(path);
  }
  return sha256;
}

function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

/**
 * Digest of the files that a glob matches, by their names relative to the folder that it is relative to.
 *
 * @returns SHA-256, lower-case hex; undefined where it matches none
 */
export async function globDigest(glob: string, folder: string): Promise<string | undefined> {
  const files = await matchingFiles(glob, folder);
  if (files.length === 0) return undefined;
  const hash = createHash('sha256');
  const entries = files.map((file) => async () => {
    return `${relative(resolve(folder), file)}\0${(await contentDigest(file)) ?? ''}\0`;
  });
  for await (const entry of inOrder(entries, mostTogether)) hash.update(entry);
  return hash.digest('hex');
}
