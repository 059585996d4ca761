import { removeRuns } from '../../engine/remove-runs.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import { formatBytes, formatCount } from '../../figures.js';
import { LocalWorkspace } from '../local-workspace.js';
import { refuseServer, serverOf } from '../open-workspace.js';
import { writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer remove`: runs, and what only they have. */
export async function remove(
  names: readonly string[],
  flags: WorkspaceFlags & { readonly dryRun?: boolean },
): Promise<number> {
  refuseServer('remove', serverOf(flags));
  await using workspace = await LocalWorkspace.open(flags);
  const runs = await workspace.runs();
  const found = new Map<string, RunSummary>();
  for (const name of names) {
    // One whose log is damaged is listed, and not found: nothing can be read of it.
    const run = runs.find(({ runId }) => runId === name) ?? (await workspace.find(name));
    found.set(run.runId, run);
  }
  const { dryRun = false } = flags;
  const options = { store: await workspace.store(), list: () => workspace.runs(), dryRun };
  const removal = await removeRuns([...found.values()], options);
  const { artifacts, bytes, reusedBy } = removal;
  if (flags.json) await writeJson(removal);
  else {
    const what = `with ${formatCount(artifacts.length)} artifacts (${formatBytes(bytes)}) that no other run has`;
    await writeLine(`${dryRun ? 'Would remove' : 'Removed'} ${removal.runs.join(', ')} ${what}.`);
    if (reusedBy.length > 0) {
      const told = `${reusedBy.join(', ')} reused stages of what ${dryRun ? 'would go' : 'went'}`;
      await writeLine(`${told}: reports written again cannot tell how those were made.`);
    }
  }
  return exitCodes.ok;
}
