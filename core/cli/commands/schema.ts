import { exitCodes } from '../../errors.js';
import { openWorkspace } from '../open-workspace.js';
import { writeJsonLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer schema`: the JSON Schema of recipes. */
export async function schema(file: string | undefined, flags: WorkspaceFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  await writeJsonLine(await workspace.schema(file), flags.json ? undefined : 2);
  return exitCodes.ok;
}
