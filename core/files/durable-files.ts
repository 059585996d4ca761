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
  const above = dirname(folder);
  const isNew = await makeOne(folder, mode).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' || above === folder) throw error;
    await makeFolder(above, mode);
    // Once more and not again, as mkdir of Node does: of a folder that takes no other, such as /proc, the system says, too,
    // that it is not there.
    return makeOne(folder, mode);
  });
  if (isNew) await syncFolder(above);
}

/** @returns whether it was not there */
async function makeOne(folder: string, mode: number): Promise<boolean> {
  try {
    await mkdir(folder, { mode });
    return true;
  } catch (error) {
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory()) return false;
    throw error;
  }
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
