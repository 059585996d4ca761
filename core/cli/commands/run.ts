import { createRunManager } from '../../container/create-run-manager.js';
import { loadRecipe } from '../../recipe/load-recipe.js';
import { planRecipe } from '../../recipe/plan-recipe.js';
import { driveRun } from '../drive-run.js';
import { catalogOf, quickstartRecipe, type RecipeFlags, settingsFrom } from '../workspace.js';

/** `simmer run`: a new run of a recipe. */
export async function run(file: string | undefined, flags: RecipeFlags): Promise<number> {
  const settings = await settingsFrom(flags);
  const recipe = await loadRecipe(file ?? quickstartRecipe(), { params: flags.param, overrides: flags.set });
  const catalog = catalogOf(recipe);
  const plan = await planRecipe(recipe, catalog, settings);
  const manager = await createRunManager({ settings, catalog });
  return driveRun({
    settings,
    catalog,
    stdout: flags.json ? 'events' : 'view',
    start: (options) => manager.start(plan, { recipeText: recipe.text, ...options }),
  });
}
