import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { ArtifactFile } from '../artifacts/artifact.js';
import type { ByteRange, RunArtifact } from '../engine/past-runs/run-artifacts.js';
import { UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { syncFolder } from '../files/durable-files.js';

/** Where bytes are fetched from. */
export type ReadBytes = (range: ByteRange) => AsyncIterable<Buffer>;

/**
 * Copies the files of an artifact into a folder, which is there whole or not at all. What a former attempt that broke off
 * has left beside it is not fetched again. Digests are checked.
 *
 * @param folder is not there yet, or empty
 * @throws UserError `output_exists`, `output_is_mount`, `fetch_damaged`, and as `read`
 */
export async function fetchArtifact({ id, files }: RunArtifact, folder: string, read: ReadBytes): Promise<void> {
  const target = await followed(folder);
  await refuseTaken(target);
  const name = createHash('sha256').update(id).digest('hex').slice(0, 12);
  const unfinished = join(dirname(target), `.${basename(target)}.${name}.part`);
  const fetch = async () => {
    await mkdir(unfinished, { recursive: true });
    for (const file of files) {
      const path = resolve(unfinished, file.path);
      if (!path.startsWith(unfinished + sep)) throw damaged(file, 'its path leads out of its folder');
      await mkdir(dirname(path), { recursive: true });
      await fetchFile(file, path, (offset) => read({ id, path: file.path, offset }));
    }
    await rename(unfinished, target).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EBUSY' || error.code === 'EXDEV' ? mounted(target) : error;
    });
    await syncFolder(dirname(target));
  };
  await writingTo(target, fetch, '--output');
}

/**
 * Copies one file, whose digest nobody knows, over the file that was there; a link stays and leads to the new one.
 * @throws UserError `output_exists` where something else is there, and as `read`
 */
export async function fetchOver(range: Omit<ByteRange, 'offset'>, file: string, read: ReadBytes): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isDirectory() === true) throw taken(file, 'is a folder');
  // A device or a pipe would be replaced by the file, not written to.
  if (found?.isFile() === false) throw taken(file, 'is not a regular file');
  const target = await followed(file);
  const unfinished = join(dirname(target), `.${basename(target)}.${process.pid}.part`);
  const fetch = async () => {
    await mkdir(dirname(target), { recursive: true });
    await append(unfinished, read({ ...range, offset: 0 }), createHash('sha256'));
    await rename(unfinished, target);
    await syncFolder(dirname(target));
  };
  await writingTo(target, fetch, '--output').finally(() => rm(unfinished, { force: true }));
}

async function fetchFile(file: ArtifactFile, path: string, readFrom: (offset: number) => AsyncIterable<Buffer>) {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  const isNew = size === 0;
  const hash = createHash('sha256');
  for await (const part of isNew ? [] : createReadStream(path)) hash.update(part);
  if (isNew || size < file.size) await append(path, readFrom(size), hash);
  if ((await stat(path)).size === file.size && (file.sha256 === '' || hash.digest('hex') === file.sha256)) return;
  await rm(path);
  // What was here before may be at fault; what came whole is not.
  if (isNew) throw damaged(file, 'what came has another digest');
  await fetchFile(file, path, readFrom);
}

/** Durably. */
async function append(path: string, parts: AsyncIterable<Buffer>, hash: Hash): Promise<void> {
  await using handle = await open(path, 'a');
  for await (const part of parts) {
    await handle.appendFile(part);
    hash.update(part);
  }
  await handle.sync();
}

/** Where a path leads: `rename` would replace a link. */
async function followed(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const isLink = (await lstat(path).catch(() => undefined))?.isSymbolicLink() === true;
    if (isLink) throw taken(path, 'is a link that leads nowhere');
    return resolve(path);
  }
}

async function refuseTaken(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isDirectory()) throw taken(folder, 'is a file');
  if ((await readdir(folder)).length > 0) throw taken(folder, 'has files already');
  if ((await stat(dirname(folder))).dev !== found.dev) throw mounted(folder);
}

/** What is made beside it cannot take its place. */
function mounted(folder: string): UserError {
  return new UserError('output_is_mount', `${folder} is a file system of its own, and cannot be replaced.`, {
    hint: `Name a new folder in it: --output ${join(folder, 'NAME')}.`,
  });
}

function taken(path: string, why: string): UserError {
  return new UserError('output_exists', `${path} ${why}.`, { hint: 'Name another place with --output.' });
}

function damaged({ path }: ArtifactFile, why: string): UserError {
  return new UserError('fetch_damaged', `The file ${path} cannot be fetched: ${why}.`, {
    kind: 'environment',
    hint: 'Fetch it again; if it stays so, see to the store that it comes from.',
  });
}
