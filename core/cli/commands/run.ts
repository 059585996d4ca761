import { driveRun } from '../drive-run.js';
import { openWorkspace, serverOf } from '../open-workspace.js';
import { refuseAmongRecipes } from '../own-recipes.js';
import { sayToPeople } from '../terminal.js';
import { givenBy, quickstartRecipe, type RecipeFlags, shownPath } from '../workspace.js';

/** `simmer run`: a new run of a recipe. */
export async function run(file: string | undefined, flags: RecipeFlags): Promise<number> {
  const isQuickstart = file === undefined && serverOf(flags) === undefined;
  if (isQuickstart) await refuseAmongRecipes(process.cwd());
  await using workspace = await openWorkspace(flags);
  if (isQuickstart && flags.json !== true) sayToPeople(quickstartNotice());
  return await driveRun({
    workspace,
    stdout: flags.json ? 'events' : 'view',
    start: (options) => workspace.start(file, givenBy(flags), options),
  });
}

/** What begins where no recipe is named, how long it takes and what it downloads. */
function quickstartNotice(): string {
  return [
    `No recipe is named, so this is the quickstart: ${shownPath(quickstartRecipe())}`,
    '  It takes about 10 minutes on 2 cores. Its first run downloads PyTorch (450 MB, or',
    '  3 GB for an NVIDIA GPU) and a model (98 MB), once. Ctrl-C stops it.',
    '  One of your own: simmer run FILE',
  ].join('\n');
}
