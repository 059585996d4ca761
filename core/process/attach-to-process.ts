import { isAlive, processIdentity } from './process-identity.js';
import type { DetachedProcess, ProcessExit } from './spawn-detached.js';

const pollMilliseconds = 200;

/**
 * Watches a process that is not our child, for which there is no event when it ends: it is looked at five times a
 * second. Its exit code cannot be known. Undefined where it is gone already.
 */
export async function attachToProcess(pid: number): Promise<DetachedProcess | undefined> {
  const identity = await processIdentity(pid);
  if (identity === undefined) return undefined;
  const exited = new Promise<ProcessExit>((resolve) => {
    const look = async () => {
      if (await isAlive(identity)) setTimeout(look, pollMilliseconds).unref();
      else resolve({ exitCode: null, signal: null });
    };
    setTimeout(look, pollMilliseconds).unref();
  });
  return { pid, exited };
}
