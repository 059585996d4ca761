import { exitCodes } from '../../errors.js';
import { loadRecipe } from '../../recipe/load-recipe.js';
import { recipeJsonSchema } from '../../recipe/recipe-json-schema.js';
import { writeLine } from '../terminal.js';
import { catalogOf } from '../workspace.js';

/** `simmer schema`: the JSON Schema of recipes. */
export async function schema(file: string | undefined, flags: { readonly json?: boolean }): Promise<number> {
  const recipe = file === undefined ? undefined : await loadRecipe(file, { params: {}, overrides: {} });
  const jsonSchema = await recipeJsonSchema(catalogOf(recipe));
  await writeLine(JSON.stringify(jsonSchema, null, flags.json ? undefined : 2));
  return exitCodes.ok;
}
