import { exitCodes } from '../../errors.js';
import { formatCounted } from '../../figures.js';
import { openWorkspace } from '../open-workspace.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import { givenBy, type RecipeFlags, shownPath } from '../workspace.js';

/** `simmer validate`: everything that is wrong with a recipe, or that nothing is. */
export async function validate(file: string, flags: RecipeFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const valid = await workspace.validate(file, givenBy(flags));
  const { stages, trainers } = valid;
  if (flags.json) {
    await writeJson({ valid: true, ...valid });
  } else {
    const what = `${formatCounted(stages.length, 'stage')}, ${formatCounted(trainers.length, 'trainer')}`;
    const upTo = flags.until === undefined ? '' : ` up to "${flags.until}"`;
    await writeLine(`${colorsFor(process.stdout).green('✔')} ${shownPath(valid.file)} is valid${upTo}: ${what}`);
  }
  return exitCodes.ok;
}
