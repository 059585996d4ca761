import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { doInThreads } from '../threads/do-in-threads.js';

const chunkBytes = 2 ** 20;
/** A file from this size on is hashed in a thread, so that several are at once, and nothing else waits for its turn. */
const largeBytes = 2 ** 26;
/** So many of them at once, whoever asks: threads without a core of their own would hold up this one. */
const mostInThreads = Math.min(8, availableParallelism());
const inThreads = new Set<Promise<HashedFile>>();

export interface HashOptions {
  /** Makes what was hashed durable as well. @default false */
  readonly sync?: boolean;
}

export interface HashedFile {
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** SHA-256 of a file, lower-case hex. */
export async function sha256OfFile(path: string): Promise<string> {
  return (await hashFile(path)).sha256;
}

/** Size and SHA-256 of a file. */
export async function hashFile(path: string, options: HashOptions = {}): Promise<HashedFile> {
  if ((await stat(path)).size < largeBytes) return hashHere(path, options);
  while (inThreads.size >= mostInThreads) await Promise.race(inThreads).catch(() => {});
  const hashing = hashInThread(path, options);
  inThreads.add(hashing);
  return hashing.finally(() => inThreads.delete(hashing));
}

async function hashInThread(path: string, options: HashOptions): Promise<HashedFile> {
  const work = { module: new URL('./file-hash.work.js', import.meta.url), settings: options, tasks: [path] };
  for await (const hashed of doInThreads<HashOptions, string, HashedFile>(new AbortController().signal, work)) {
    return hashed;
  }
  throw new Error('A task has a result.');
}

/** As `hashFile`, in this thread. While a part of the file is hashed, the next one is read. */
export async function hashHere(path: string, { sync = false }: HashOptions): Promise<HashedFile> {
  await using file = await open(path, 'r');
  const hash = createHash('sha256');
  let [buffer, other] = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)];
  let size = 0;
  let reading = file.read(buffer, 0, chunkBytes, 0);
  for (;;) {
    const { bytesRead } = await reading;
    if (bytesRead === 0) break;
    size += bytesRead;
    reading = file.read(other, 0, chunkBytes, size);
    hash.update(buffer.subarray(0, bytesRead));
    [buffer, other] = [other, buffer];
  }
  if (sync) await file.sync();
  return { size, sha256: hash.digest('hex') };
}
