import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { recipeTextOf } from '../engine/recipe-changes.js';
import { UserError } from '../errors.js';
import { quickstartRecipe, shownPath } from './workspace.js';

/** So many are named. */
const namesShown = 5;

/**
 * What every recipe has. Files of build servers and of DVC have `stages`, too, but none that `uses` something; the schema of
 * recipes has both, but names nothing that is used.
 */
const marks = [/^stages\s*:|"stages"\s*:/m, /\buses["']?\s*:\s*["']?[^\s"'{]/];

/**
 * Where a folder has recipes of its own, `simmer run` is one of them with its name forgotten, and not the quickstart, which
 * takes all cores for minutes. @throws UserError `recipe_unnamed`
 */
export async function refuseAmongRecipes(folder: string): Promise<void> {
  const recipes = await recipesIn(folder);
  const [first, ...others] = recipes;
  if (first === undefined) return;
  const names = [...recipes.slice(0, namesShown), ...(recipes.length > namesShown ? ['…'] : [])].join(', ');
  throw new UserError('recipe_unnamed', `No recipe is named, and this folder has ${names}.`, {
    hint: `Name ${others.length === 0 ? 'it' : 'one'}: simmer run ${first}. The quickstart is simmer run ${shownPath(quickstartRecipe())}`,
  });
}

/** One more than are named at most: a folder may have thousands of files of data. */
async function recipesIn(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter((name) => /\.(ya?ml|json)$/.test(name)).toSorted();
  const recipes: string[] = [];
  for (const name of names) {
    const text = await recipeTextOf(join(folder, name));
    if (marks.every((mark) => mark.test(text))) recipes.push(name);
    if (recipes.length > namesShown) break;
  }
  return recipes;
}
