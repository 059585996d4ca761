import { constants } from 'node:fs';
import { access, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** sun_path holds 104 bytes on macOS, 108 on Linux, with the final zero. */
const longestSocketPath = 103;
/** Of a socket in the folder. */
const longestName = 24;
const prefix = 'simmer-';

/**
 * Makes a folder for sockets that only this user may enter (mode 0700), with a short path. gRPC makes its sockets
 * readable for all, so the folder is what protects them.
 */
export async function makeSocketFolder(): Promise<string> {
  for (const base of [process.env.XDG_RUNTIME_DIR, tmpdir(), '/tmp']) {
    if (base === undefined || base === '' || !(await isWritableFolder(base))) continue;
    const template = join(base, prefix);
    if (Buffer.byteLength(template) + 6 + 1 + longestName > longestSocketPath) continue;
    return mkdtemp(template);
  }
  throw new Error('there is no writable folder with a path short enough for a unix socket');
}

/** Removes the folder of a socket that `makeSocketFolder` made; leaves every other alone. */
export async function removeSocketFolder(socket: string): Promise<void> {
  const folder = dirname(socket);
  if (basename(folder).startsWith(prefix)) await rm(folder, { recursive: true, force: true });
}

async function isWritableFolder(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK | constants.X_OK);
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
