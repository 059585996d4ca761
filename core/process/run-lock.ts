import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { UserError } from '../errors.js';
import { isDiskFull, writingTo } from '../files/disk-error.js';
import { ownerFile, type RunOwner, readOwnerFile, writeOwnerFile } from './owner-file.js';
import { isAlive, isSeenFromHere, linuxBootId, processIdentity, processPlace } from './process-identity.js';

export type RunLock = AsyncDisposable & { readonly owner: RunOwner };

/** On macOS. */
const lockFileName = '.lock';
/** On Linux: of the name of each socket that shows a lock. */
const shownBegin = '.lock-';
/** Of its name until it listens, which takes a moment. */
const draftBegin = '.draft-';
const draftSeconds = 60;
/** The holder writes down who it is just after it got the lock; a prober on macOS holds it for a moment. */
const retries = 10;
const retryMilliseconds = 30;

interface KernelLock {
  /** As `RunOwner` has it. */
  readonly shownOn?: string;
  /** Removes what kills left of former locks. Only for who is known to have the folder: other hosts' are not told from them. */
  removeLeftovers?(): Promise<void>;
  release(): Promise<void>;
}

/** What else is said of its owner for as long as it has the lock. */
type AboutOwner = Pick<RunOwner, 'cancelSignal' | 'runId'>;

/**
 * Takes the right to write a run, or any folder of a home, as `acquireLock` does.
 *
 * @param isForRemoval whether it is taken also where no space is left to say who has it: what is removed makes some, and a
 * process on another host cannot take it there either
 * @throws UserError `run_locked`, which names the owner; `run_folder_missing`; `no_disk_space` and its like
 */
export function acquireRunLock(
  runFolder: string,
  about: AboutOwner = {},
  options: { readonly isForRemoval?: boolean } = {},
): Promise<RunLock> {
  return writingTo(resolve(runFolder), () => acquireLock(runFolder, about, options));
}

/**
 * Takes the right to write a folder: one process at a time has it, and the kernel takes it back when that process dies,
 * however it dies. Beside it `owner.json` says who has it, for people and other hosts.
 *
 * @param isForRemoval as of `acquireRunLock`
 * @throws UserError `run_locked`, which names the owner; `run_folder_missing`; the disk's errors as they are, since a folder
 * that is not of a home is chosen otherwise
 */
export async function acquireLock(
  lockedFolder: string,
  about: AboutOwner,
  { isForRemoval = false }: { readonly isForRemoval?: boolean } = {},
): Promise<RunLock> {
  const folder = resolve(lockedFolder);
  const kernelLock = await takeKernelLock(folder);
  if (kernelLock === undefined) throw await lockedBy(folder);
  try {
    const former = await readOwnerFile(folder);
    // The kernel speaks for this machine only. On another one the owner may be alive, and nobody here can tell.
    if (former !== undefined && !(await isSeenFromHere(former)) && !(await isShownHere(former, folder)))
      throw lockedElsewhere(folder, former);
    if (former !== undefined && (await isAtWorkUnseen(former))) throw locked(folder, former);
    await kernelLock.removeLeftovers?.();
    const identity = await processIdentity(process.pid);
    const owner: RunOwner = {
      pid: process.pid,
      ...(await processPlace()),
      startedAt: new Date().toISOString(),
      ...(identity === undefined ? {} : { processStartTime: identity.startTime }),
      ...about,
      ...(kernelLock.shownOn === undefined ? {} : { shownOn: kernelLock.shownOn }),
    };
    await writeOwnerFile(folder, owner).catch((error: unknown) => {
      if (!isForRemoval || !isDiskFull(error)) throw error;
    });
    return {
      owner,
      [Symbol.asyncDispose]: async () => {
        try {
          await rm(join(folder, ownerFile), { force: true });
        } finally {
          await kernelLock.release();
        }
      },
    };
  } catch (error) {
    await kernelLock.release();
    throw error;
  }
}

/**
 * Who has a run, or had it when it was killed: then `alive` is false. Undefined where nobody does. An owner on another
 * host counts as alive.
 */
export async function readRunOwner(runFolder: string): Promise<(RunOwner & { readonly alive: boolean }) | undefined> {
  const folder = resolve(runFolder);
  const owner = await readOwnerFile(folder);
  if (owner === undefined) return undefined;
  const isSeen = (await isSeenFromHere(owner)) || (await isShownHere(owner, folder));
  const alive = !isSeen || (await isLocked(folder)) || (await isAtWorkUnseen(owner));
  return { ...owner, alive };
}

/** Whether the lock of an owner that is in another container would be seen in the folder, if it were still held. */
async function isShownHere({ shownOn }: RunOwner, folder: string): Promise<boolean> {
  return shownOn !== undefined && shownOn === (await showsOn(folder));
}

/**
 * A socket that is a file is met by all who reach its inode through one file system of one kernel, and by nobody else.
 * Undefined where the system does not name its kernel, and where the file system is on no disk of this machine: a number of
 * one that comes over a network may be another's on a copy of a virtual machine, whose kernel has the same name.
 */
async function showsOn(folder: string): Promise<string | undefined> {
  const kernel = await linuxBootId().catch(() => '');
  const { dev } = await stat(folder, { bigint: true });
  const isOnDisk = ((dev >> 8n) & 0xfffn) !== 0n;
  return kernel !== '' && isOnDisk ? `${kernel}/${dev}` : undefined;
}

/**
 * Whether an owner whose lock is not seen is at work all the same: a sandbox with a network of its own sees processes, but
 * not their locks. A container that was started again has the pids of the former one, not the times of their start. What
 * this process itself left there is no lock.
 */
async function isAtWorkUnseen({ pid, processStartTime: startTime }: RunOwner): Promise<boolean> {
  return pid !== process.pid && startTime !== undefined && (await isAlive({ pid, startTime }));
}

/** Undefined where another has it. */
async function takeKernelLock(folder: string): Promise<KernelLock | undefined> {
  for (let attempt = 0; ; attempt += 1) {
    const lock = process.platform === 'linux' ? await lockInode(folder) : await lockFile(folder);
    if (lock !== undefined || process.platform === 'linux' || attempt === retries) return lock;
    await wait(retryMilliseconds);
  }
}

async function isLocked(folder: string): Promise<boolean> {
  if (process.platform === 'linux') {
    await using handle = await openFolder(folder);
    if (await isListening(socketName(await handle.stat({ bigint: true })))) return true;
    return (await shownIn(pathOf(handle))).some(({ isHeld }) => isHeld);
  }
  const lock = await lockFile(folder);
  await lock?.release();
  return lock === undefined;
}

/** Holds the folder open besides: the kernel gives its inode to no other folder then, even where it is removed meanwhile. */
async function lockInode(folder: string): Promise<KernelLock | undefined> {
  const handle = await openFolder(folder);
  const taken: KernelLock[] = [];
  const release = async () => {
    try {
      for (const lock of taken.reverse()) await lock.release();
    } finally {
      await handle.close();
    }
  };
  try {
    const lock = await listen(socketName(await handle.stat({ bigint: true })));
    if (lock !== undefined) taken.push(lock);
    const shown = lock && (await show(pathOf(handle)));
    if (shown !== undefined) {
      taken.push(shown);
      return { ...shown, release };
    }
  } catch (error) {
    await release();
    throw error;
  }
  await release();
  return undefined;
}

/**
 * Shows the lock in the folder itself: a container, or a sandbox, has abstract names of its own, but connects to a socket
 * that is a file. It is there after a kill, too, when nobody listens any more. Each process has a socket of its own there,
 * and looks for others only once it has: of two that come at once, one at least sees the other. Undefined where another
 * listens.
 */
async function show(folder: string): Promise<KernelLock | undefined> {
  const id = randomBytes(6).toString('hex');
  const draft = join(folder, `${draftBegin}${id}`);
  const own = join(folder, `${shownBegin}${id}`);
  // Some file systems have no sockets, or do not rename them: there the lock is not shown.
  const lock = await listen(draft, true).catch(() => undefined);
  const removeLeftovers = async () => {
    for (const { path, isHeld } of await shownIn(folder)) if (!isHeld) await rm(path, { force: true });
    await removeDrafts(folder, own);
  };
  const release = async () => {
    await rm(own, { force: true });
    await lock?.release();
  };
  try {
    // By that name it listens from the first moment on: one that does not is nobody's.
    const isShown =
      lock !== undefined &&
      (await rename(draft, own)
        .then(() => isListening(own))
        .catch(() => false));
    const shownOn = isShown ? await showsOn(folder) : undefined;
    for (let attempt = 0; ; attempt += 1) {
      const others = (await shownIn(folder)).filter(({ path, isHeld }) => path !== own && isHeld);
      if (others.length === 0) return { ...(shownOn === undefined ? {} : { shownOn }), removeLeftovers, release };
      // Of those that come at once the first by name waits until the others have given way.
      if (attempt === retries || others.some(({ path }) => path < own)) break;
      await wait(retryMilliseconds);
    }
  } catch (error) {
    await release();
    throw error;
  }
  await release();
  return undefined;
}

/** Removes what kills left of locks that were being made. @param made just now: ages are by the clock of its file system */
async function removeDrafts(folder: string, made: string): Promise<void> {
  const now = await stat(made).catch(() => undefined);
  if (now === undefined) return;
  for (const { path, isHeld } of await shownIn(folder, draftBegin)) {
    const draft = isHeld ? undefined : await stat(path).catch(() => undefined);
    if (draft !== undefined && now.mtimeMs - draft.mtimeMs > 1000 * draftSeconds) await rm(path, { force: true });
  }
}

/** The sockets that show locks of a folder; those that nobody holds were left there by a kill. */
async function shownIn(
  folder: string,
  begin = shownBegin,
): Promise<readonly { readonly path: string; readonly isHeld: boolean }[]> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(begin));
  return Promise.all(
    names.map(async (name) => ({ path: join(folder, name), isHeld: await isListening(join(folder, name)) })),
  );
}

/** A socket's path may have 107 bytes, and that of a file in a run folder has often more. */
function pathOf({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

async function openFolder(folder: string): Promise<FileHandle> {
  try {
    return await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw folderMissing(folder, error);
  }
}

/**
 * A name in Linux's abstract socket space: it is no file, and is free again the moment its process is gone. Device and
 * inode stand for the folder however it is reached.
 */
function socketName({ dev, ino }: BigIntStats): string {
  return `\0simmer-run-lock/${dev}/${ino}`;
}

/** @param isFile whether it is a file, which any user may connect to who comes as far as its folder */
async function listen(name: string, isFile = false): Promise<KernelLock | undefined> {
  const server: Server = createServer((socket) => socket.destroy());
  const isOurs = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ path: name, writableAll: isFile }, () => resolve(true));
  });
  if (!isOurs) return undefined;
  // A connection that fails is the prober's affair, and the lock keeps no process running.
  server.on('error', () => undefined);
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

const notListening = ['ECONNREFUSED', 'ENOENT'];

function isListening(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: name });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // A full backlog of a busy holder is EAGAIN. A system that lets containers not connect to each other says EACCES, of
    // listeners alone.
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(!notListening.includes(code)));
  });
}

/** BSD's open(2) flag that takes flock's exclusive lock with the file, atomically; Node does not name it. */
const exclusiveLockFlag = 0x20;

async function lockFile(folder: string): Promise<KernelLock | undefined> {
  const { O_RDWR, O_CREAT, O_NONBLOCK } = constants;
  try {
    const handle = await open(join(folder, lockFileName), O_RDWR | O_CREAT | O_NONBLOCK | exclusiveLockFlag, 0o644);
    return { release: () => handle.close() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return undefined;
    throw code === 'ENOENT' ? folderMissing(folder, error) : error;
  }
}

async function lockedBy(folder: string): Promise<UserError> {
  for (let attempt = 0; attempt < retries; attempt += 1) {
    const owner = await readOwnerFile(folder);
    if (owner !== undefined && (!(await isSeenFromHere(owner)) || isRunning(owner.pid))) return locked(folder, owner);
    await wait(retryMilliseconds);
  }
  return locked(folder, await readOwnerFile(folder));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function locked(folder: string, owner: RunOwner | undefined): UserError {
  const who =
    owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host}, since ${owner.startedAt}`;
  return new UserError('run_locked', `${basename(folder)} is being worked on by ${who}.`, {
    kind: 'environment',
    hint: `End that process first, or follow it: simmer watch ${basename(folder)}`,
  });
}

function lockedElsewhere(folder: string, owner: RunOwner): UserError {
  return new UserError(
    'run_locked',
    `${basename(folder)} is being worked on by process ${owner.pid} on ${owner.host}, since ${owner.startedAt}.`,
    {
      kind: 'environment',
      hint: `Whether that still runs cannot be seen from ${hostname()}. If it does not, as where this machine was renamed or a container replaced, remove ${join(folder, ownerFile)}.`,
    },
  );
}

function folderMissing(folder: string, cause: unknown): UserError {
  return new UserError('run_folder_missing', `There is no folder ${folder}.`, { kind: 'environment', cause });
}
