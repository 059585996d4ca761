import { duration } from '../../config/duration.js';
import { chooseRuns, type RunChoice } from '../../engine/past-runs/choose-runs.js';
import type { Removal } from '../../engine/past-runs/remove-runs.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { formatBytes, formatCount, formatCounted } from '../../figures.js';
import { wrapLine } from '../../wrap-text.js';
import { openWorkspace } from '../open-workspace.js';
import { columnsOf, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

interface RemoveFlags extends WorkspaceFlags {
  readonly dryRun?: boolean;
  readonly olderThan?: string;
  readonly status?: RunChoice['statuses'];
  readonly recipe?: string;
}

/** `simmer remove`: runs, and what only they have. */
export async function remove(names: readonly string[], flags: RemoveFlags): Promise<number> {
  const choice = choiceOf(flags);
  if ((names.length === 0) === (choice === undefined)) {
    throw new UserError('which_runs', 'Runs are named, or chosen by what they have in common: one of both.', {
      hint: 'simmer remove RUN, or: simmer remove --older-than 30d --status failed --recipe NAME --dry-run',
    });
  }
  await using workspace = await openWorkspace(flags);
  const runs = await workspace.runs();
  const found = new Map<string, RunSummary>();
  for (const run of choice === undefined ? [] : chooseRuns(runs, choice, new Date())) found.set(run.runId, run);
  for (const name of names) {
    // One whose log is damaged is listed, and not found: nothing can be read of it.
    const run = runs.find(({ runId }) => runId === name) ?? (await workspace.find(name));
    found.set(run.runId, run);
  }
  const { dryRun = false } = flags;
  const removal = await workspace.remove([...found.values()], dryRun);
  if (flags.json) await writeJson(removal);
  else {
    const width = columnsOf(process.stdout);
    await writeLine(
      removalLines(removal, dryRun)
        .flatMap((line) => wrapLine(line, width))
        .join('\n'),
    );
  }
  return exitCodes.ok;
}

/** Of the runs that reused something. */
const mostNamed = 5;

/** What went, or would go, for people. */
export function removalLines({ runs, artifacts, bytes, reusedBy }: Removal, dryRun: boolean): readonly string[] {
  if (runs.length === 0) return ['No run fits: there is nothing to remove.'];
  const [only, ...more] = runs;
  const which = more.length === 0 ? only : `${formatCount(runs.length)} runs`;
  const what = `with ${formatCounted(artifacts.length, 'artifact')} (${formatBytes(bytes)}) that no other run has`;
  const others = reusedBy.length - mostNamed;
  const named = [...reusedBy.slice(0, mostNamed), ...(others > 0 ? [`${formatCount(others)} more`] : [])].join(', ');
  const told = `${named} reused stages of what ${dryRun ? 'would go' : 'went'}`;
  return [
    `${dryRun ? 'Would remove' : 'Removed'} ${which} ${what}${more.length === 0 ? '.' : ':'}`,
    ...(more.length === 0 ? [] : runs.map((runId) => `  ${runId}`)),
    ...(reusedBy.length === 0 ? [] : [`${told}: reports written again cannot tell how those were made.`]),
  ];
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
