import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Makes the names in a folder durable: a new file is only then sure to be found after a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot sync a folder, and need not: their server orders its own metadata.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  }
}

/** Makes a folder, with those above it, durably. May exist already. @param mode of those that are made */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode }).catch((error: unknown) => whyNotMade(folder, error));
  if (first === undefined) return;
  const top = dirname(first);
  for (let made = folder; made !== top; made = dirname(made)) await syncFolder(dirname(made));
}

/** Node says of a file system that is read-only that a folder above is missing; the system itself says which fault it is. */
async function whyNotMade(folder: string, error: unknown): Promise<never> {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  const parent = dirname(folder);
  if (parent !== folder && (await stat(parent).catch(() => undefined)) === undefined) return whyNotMade(parent, error);
  await mkdir(folder);
  throw error;
}

/** Writes a file that is there whole or not at all, also after a power cut. Replaces a former one. */
export async function writeFileDurably(file: string, content: string): Promise<void> {
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}.${randomBytes(4).toString('hex')}`);
  try {
    await writeAndSync(draft, content);
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(dirname(file));
}

/** Writes a new file durably; its name is so only once its folder is synced. @throws EEXIST */
export async function writeAndSync(file: string, content: string): Promise<void> {
  await using handle = await open(file, 'wx');
  await handle.writeFile(content);
  await handle.sync();
}
