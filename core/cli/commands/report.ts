import { exitCodes } from '../../errors.js';
import { openWorkspace } from '../open-workspace.js';
import { writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer report`: writes a run's report again and prints where it is. */
export async function report(name: string, flags: WorkspaceFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const { runId, reportPath } = await workspace.writeReport(name);
  if (flags.json) await writeJson({ runId, reportPath });
  else await writeLine(reportPath);
  return exitCodes.ok;
}
