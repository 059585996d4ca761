/** Sends a signal to a process and all that it started in its group. False where nobody is left. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
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
    timer = setTimeout(resolve, milliseconds, false);
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
