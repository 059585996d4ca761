import { longestTimer } from './longest-timer.js';

/**
 * Sends a signal to a process and all that it started in its group. False where nobody is left.
 * @throws RangeError for an id that names no group of ours: -1 would be all processes, and 0 our own group
 */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  return sent(-signalled(pid), signal);
}

/** Sends a signal to a process alone. False where it is gone. @throws RangeError as `signalGroup` */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  return sent(signalled(pid), signal);
}

function signalled(pid: number): number {
  if (pid > 1) return pid;
  throw new RangeError(`${pid} is not the id of a process that may be signalled.`);
}

function sent(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // macOS says so of a group of which only processes are left that nobody has reaped yet.
    const isDeadGroup = code === 'EPERM' && target < 0 && process.platform === 'darwin';
    if (code !== 'ESRCH' && !isDeadGroup) throw error;
    return false;
  }
}

/**
 * The lower rungs of the kill ladder: SIGTERM to the group, SIGKILL after the grace period. Resolves when the process
 * has ended; what its group left behind is killed then, too.
 */
export async function terminateGroup(pid: number, exited: Promise<unknown>, graceMilliseconds: number): Promise<void> {
  if (signalGroup(pid, 'SIGTERM') && !(await endsWithin(exited, graceMilliseconds))) signalGroup(pid, 'SIGKILL');
  await exited;
  signalGroup(pid, 'SIGKILL');
}

/** Whether a promise settles in time. */
export async function endsWithin(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, Math.min(milliseconds, longestTimer), false);
  });
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => true,
      ),
      timeout,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
