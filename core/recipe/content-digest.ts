import { createHash } from 'node:crypto';
import { type BigIntStats, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { sha256OfFile } from '../files/file-hash.js';
import { isGlob, matchingFiles } from '../files/matching-files.js';

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
  const stats = await stat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (stats === undefined) return undefined;
  if (!stats.isDirectory()) {
    if (!stats.isFile()) {
      throw new UserError('not_a_file', `${path} is a device or pipe, neither a file nor a folder.`, {
        hint: 'Write its content to a file first.',
      });
    }
    return fileDigest(path, stats);
  }
  const hash = createHash('sha256');
  for (const name of (await readdir(path)).sort()) {
    const inner = join(path, name);
    if (isHome(inner)) continue;
    hash.update(`${name}\0${(await contentDigest(inner)) ?? ''}\0`);
  }
  return hash.digest('hex');
}

function isHome(path: string): boolean {
  return existsSync(join(path, 'format')) && existsSync(join(path, 'runs'));
}

/** Files are large, and are looked at when they are planned, and before and after they are read. */
const digests = new Map<string, { readonly state: string; readonly sha256: string }>();
/** In milliseconds: a file that was written just before may be written again at what its file system calls the same time. */
const settledAfter = 2_000;

async function fileDigest(path: string, stats: BigIntStats): Promise<string> {
  const state = stateOf(stats);
  const known = digests.get(path);
  if (known?.state === state) return known.sha256;
  const isSettled = Date.now() - Number(stats.ctimeMs) > settledAfter;
  const sha256 = await sha256OfFile(path);
  if (isSettled && stateOf(await stat(path, { bigint: true })) === state) digests.set(path, { state, sha256 });
  else digests.delete(path);
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
  for (const file of files) {
    hash.update(`${relative(resolve(folder), file)}\0${(await contentDigest(file)) ?? ''}\0`);
  }
  return hash.digest('hex');
}
