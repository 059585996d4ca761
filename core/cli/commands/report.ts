import { reportFile } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import { fetchOver } from '../fetch-files.js';
import { openWorkspace } from '../open-workspace.js';
import { writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

interface ReportFlags extends WorkspaceFlags {
  /** A file. */
  readonly output?: string;
}

/** `simmer report`: writes a run's report again, copies it if asked to, and prints where it is. */
export async function report(name: string, { output, ...flags }: ReportFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const { runId, reportPath: written, id } = await workspace.writeReport(name);
  if (output !== undefined) await fetchOver({ id, path: reportFile }, output, (range) => workspace.readArtifact(range));
  const reportPath = output ?? written;
  if (flags.json) await writeJson({ runId, reportPath });
  else await writeLine(reportPath);
  return exitCodes.ok;
}
