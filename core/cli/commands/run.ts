import { driveRun } from '../drive-run.js';
import { openWorkspace } from '../open-workspace.js';
import { givenBy, type RecipeFlags } from '../workspace.js';

/** `simmer run`: a new run of a recipe. */
export async function run(file: string | undefined, flags: RecipeFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  return await driveRun({
    workspace,
    stdout: flags.json ? 'events' : 'view',
    start: (options) => workspace.start(file, givenBy(flags), options),
  });
}
