import { exitCodes } from '../../errors.js';
import { loadRecipe } from '../../recipe/load-recipe.js';
import { planRecipe } from '../../recipe/plan-recipe.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import { catalogOf, type RecipeFlags, settingsFrom, shownPath } from '../workspace.js';

/** `simmer validate`: everything that is wrong with a recipe, or that nothing is. */
export async function validate(file: string, flags: RecipeFlags): Promise<number> {
  const settings = await settingsFrom(flags);
  const recipe = await loadRecipe(file, { params: flags.param, overrides: flags.set });
  const plan = await planRecipe(recipe, catalogOf(recipe), settings);
  const stages = plan.stages.map((stage) => stage.name);
  const trainers = Object.keys(plan.trainers);
  if (flags.json) {
    await writeJson({ valid: true, recipe: plan.recipe, file: recipe.file, stages, trainers });
  } else {
    const what = `${counted(stages.length, 'stage')}, ${counted(trainers.length, 'trainer')}`;
    await writeLine(`${colorsFor(process.stdout).green('✔')} ${shownPath(recipe.file)} is valid: ${what}`);
  }
  return exitCodes.ok;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
