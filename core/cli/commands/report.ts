import { createRunManager } from '../../container/create-run-manager.js';
import { readPlan } from '../../engine/run-folder.js';
import { exitCodes } from '../../errors.js';
import { writeJson, writeLine } from '../terminal.js';
import { catalogOf, catalogOfPlan, settingsFrom, type WorkspaceFlags } from '../workspace.js';

/** `simmer report`: writes a run's report again and prints where it is. */
export async function report(name: string, flags: WorkspaceFlags): Promise<number> {
  const settings = await settingsFrom(flags);
  const { runId, runFolder } = await (await createRunManager({ settings, catalog: catalogOf() })).find(name);
  const manager = await createRunManager({ settings, catalog: catalogOfPlan(await readPlan(runFolder)) });
  const reportPath = await manager.writeReport(runId);
  if (flags.json) await writeJson({ runId, reportPath });
  else await writeLine(reportPath);
  return exitCodes.ok;
}
