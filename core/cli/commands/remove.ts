import { duration } from '../../config/duration.js';
import { chooseRuns, type RunChoice } from '../../engine/choose-runs.js';
import { removeRuns } from '../../engine/remove-runs.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatBytes, formatCount } from '../../figures.js';
import { LocalWorkspace } from '../local-workspace.js';
import { refuseServer, serverOf } from '../open-workspace.js';
import { writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

export interface RemoveFlags extends WorkspaceFlags {
  readonly dryRun?: boolean;
  readonly olderThan?: string;
  readonly status?: RunChoice['statuses'];
  readonly recipe?: string;
}

/** `simmer remove`: runs, and what only they have. */
export async function remove(names: readonly string[], flags: RemoveFlags): Promise<number> {
  refuseServer('remove', serverOf(flags));
  const choice = choiceOf(flags);
  if ((names.length === 0) === (choice === undefined)) {
    throw new UserError('which_runs', 'Runs are named, or chosen by what they have in common: one of both.', {
      hint: 'simmer remove RUN, or: simmer remove --older-than 30d --status failed --recipe NAME --dry-run',
    });
  }
  await using workspace = await LocalWorkspace.open(flags);
  const runs = await workspace.runs();
  const found = new Map<string, RunSummary>();
  for (const run of choice === undefined ? [] : chooseRuns(runs, choice, new Date())) found.set(run.runId, run);
  for (const name of names) {
    // One whose log is damaged is listed, and not found: nothing can be read of it.
    const run = runs.find(({ runId }) => runId === name) ?? (await workspace.find(name));
    found.set(run.runId, run);
  }
  const { dryRun = false } = flags;
  const options = { store: await workspace.store(), dryRun };
  const removal = await removeRuns([...found.values()], options);
  const { artifacts, bytes, reusedBy } = removal;
  if (flags.json) await writeJson(removal);
  else if (removal.runs.length === 0) await writeLine('No run is so: there is nothing to remove.');
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

/** Undefined where nothing is chosen by. */
function choiceOf({ olderThan, status, recipe }: RemoveFlags): RunChoice | undefined {
  if (olderThan === undefined && status === undefined && recipe === undefined) return undefined;
  const seconds = duration.optional().safeParse(olderThan);
  if (!seconds.success) {
    throw new UserError('wrong_time', `--older-than ${olderThan}: a time reads like "30d" or "1d 12h".`);
  }
  return {
    ...(seconds.data === undefined ? {} : { olderThan: seconds.data }),
    ...(status === undefined ? {} : { statuses: status }),
    ...(recipe === undefined ? {} : { recipe }),
  };
}
