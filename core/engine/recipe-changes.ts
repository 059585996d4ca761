import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plan } from '../recipe/plan.js';
import { readRecipeText } from './run-folder.js';

/** In bytes. What is larger is data. */
const largestRecipe = 1 << 20;

/**
 * Says where the recipe of a run seems to have been moved or changed since: its folder is gone, or no file of it is what it
 * was any more, and one has its name in it. A run goes on by its plan, and would ignore the change in silence. Nothing is
 * sure: the recipe may be that of a client, which is in no file.
 *
 * @returns the change as a sentence, for the log
 */
export async function recipeChanges({ recipe, recipeFolder }: Plan, runFolder: string): Promise<readonly string[]> {
  if (!existsSync(recipeFolder)) {
    return [
      `The recipe's folder ${recipeFolder} is gone, with all that the recipe names by its place in it. ` +
        'If it was moved, `simmer run` the recipe where it is now, which does nothing twice.',
    ];
  }
  const before = await readRecipeText(runFolder).catch(() => undefined);
  const names = await readdir(recipeFolder).catch((): string[] => []);
  const candidates: string[] = [];
  for (const name of names.filter((each) => /\.(ya?ml|json)$/.test(each)).toSorted()) {
    const text = await recipeTextOf(join(recipeFolder, name));
    if (text === before) return [];
    if (nameIn(text) === recipe) candidates.push(name);
  }
  if (candidates.length === 0) return [];
  const which = candidates.join(' or ');
  return [
    `No file of the recipe's folder is the recipe of this run any more; ${which} has its name. The run goes on by the recipe ` +
      'as it was. To have it as it is now, use `simmer run`, which does nothing twice.',
  ];
}

/** Empty where it is no file, cannot be read, or is too large for a recipe. */
export async function recipeTextOf(file: string): Promise<string> {
  try {
    const found = await stat(file);
    return !found.isFile() || found.size > largestRecipe ? '' : await readFile(file, 'utf8');
  } catch {
    return '';
  }
}

function nameIn(text: string): string | undefined {
  return /^(?:name|\s*(?:\{\s*)?"name")\s*:\s*["']?([^\s"',#]+)/m.exec(text)?.[1];
}
