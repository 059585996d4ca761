import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchedProcess, LauncherDefinition } from '../../plugin/definitions.js';
import type { BudgetGuard, Holder } from './budget-guard.js';
import type { Holding } from './spending-state.js';

/** A launcher whose processes are paid for: from before each is started until it has ended. */
export function meteredLauncher(
  launcher: LauncherDefinition,
  budget: BudgetGuard,
  holder: Omit<Holder, 'kill'>,
): LauncherDefinition {
  const metered = async <P extends LaunchedProcess | undefined>(start: () => Promise<P>): Promise<P> => {
    let launched: P;
    await budget.hold({ ...holder, kill: async () => launched?.terminate(0) });
    try {
      launched = await start();
    } catch (error) {
      await budget.release(holder.name);
      throw error;
    }
    if (launched === undefined) await budget.release(holder.name);
    // Of a log that takes nothing more the run has ended already.
    else void launched.exited.then(() => budget.release(holder.name)).catch(() => undefined);
    return launched;
  };
  return {
    ...launcher,
    launch: (request, options) => metered(() => launcher.launch(request, options)),
    attach: (pid, options) => metered(() => launcher.attach(pid, options)),
  };
}

/**
 * When the process of a holding that is gone now had ended at the latest: it cannot have lived on for longer than it may
 * without a core, unless its files say so. In milliseconds since 1970.
 *
 * @param folder of the trainer, where it was one
 */
export async function endedBy(
  { unattendedSeconds }: Holding,
  lastEventAt: string,
  folder: string | undefined,
): Promise<number> {
  const lease = Date.parse(lastEventAt) + 1000 * (tellSeconds + unattendedSeconds);
  const written = folder === undefined ? 0 : await lastWrittenIn(folder);
  return Math.min(Date.now(), Math.max(lease, written));
}

/** The core may have lived on for so long after what it told last. */
const tellSeconds = 5;

async function lastWrittenIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        (found) => found.mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(0, ...times);
}
