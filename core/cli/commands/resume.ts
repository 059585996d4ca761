import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import { driveRun } from '../drive-run.js';
import { earlierEvents } from '../earlier-events.js';
import { openWorkspace } from '../open-workspace.js';
import { writeJsonLine, writeLine } from '../terminal.js';
import type { Workspace, WorkspaceFlags } from '../workspace.js';

/** `simmer resume`: goes on with a run from its last durable event. */
export async function resume(
  name: string,
  flags: WorkspaceFlags & { readonly set: Readonly<Record<string, string>> },
): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const found = await workspace.find(name);
  if (found.status === 'completed') return await tellCompleted(workspace, found, flags);
  return await driveRun({
    workspace,
    stdout: flags.json ? 'events' : 'view',
    lastSequence: found.events,
    history: () => earlierEvents(workspace, found, found.events),
    start: (options) => workspace.resume(found, { ...options, overrides: flags.set }),
  });
}

/** There is nothing to go on with; what came of the run is told again. */
async function tellCompleted(workspace: Workspace, run: RunSummary, flags: WorkspaceFlags): Promise<number> {
  for await (const event of workspace.watch(run, { from: run.events })) {
    if (event.type !== 'run.completed') continue;
    const { reportPath } = event.data;
    const report = reportPath === null ? '' : `\n  report  ${reportPath}`;
    const text = `${run.runId} is complete: there is nothing left to do.${report}`;
    await (flags.json ? writeJsonLine(event) : writeLine(text));
  }
  return exitCodes.ok;
}
