import { dirname, resolve } from 'node:path';
import { readDataFile } from '../document/data-file.js';
import { describeValue, isMapValue } from '../document/describe-value.js';
import { type DataDocument, invalidFile, parseDocument } from '../document/document.js';
import { type PluginReference, pluginReference } from '../plugin/plugin-reference.js';
import { applyOverrides, type Overridden, type Overrides, overridesAsWritten } from './overrides.js';

/** A recipe that could be read, with the command line's overrides in it; what it means is not looked at yet. */
export interface ParsedRecipe {
  /** As it was named. */
  readonly file: string;
  /** Absolute. */
  readonly folder: string;
  readonly text: string;
  readonly document: DataDocument;
  /** The recipe's name; empty where it has none that is text. */
  readonly name: string;
  /** The plugins that it lists, as far as they can be read. */
  readonly plugins: readonly PluginReference[];
  /** Its tree with `--set`, its `-p`, and what was wrong with them. */
  readonly overridden: Overridden;
  /** What the command line changes in it, in its words. */
  readonly changes: readonly string[];
  /** The stage that it is run up to: only what that one needs is planned. @default all stages */
  readonly until?: string;
  /** The training stage that is inspected and not run, where it was made for that. */
  readonly inspects?: string;
}

/**
 * Reads a recipe, YAML or JSON.
 *
 * @throws UserError `file_missing`, `file_too_large` and their like, or `invalid_recipe` with the first syntax error
 */
export async function loadRecipe(file: string, given: Overrides): Promise<ParsedRecipe> {
  return parseRecipe(file, await readDataFile(file, 'recipe'), given);
}

/** As `loadRecipe`, of a text that is read already. @throws UserError `invalid_recipe` */
export function parseRecipe(file: string, text: string, given: Overrides): ParsedRecipe {
  const document = parseDocument(file, text, 'recipe');
  if (!isMapValue(document.value)) {
    const message =
      document.value === null
        ? 'The recipe is empty.'
        : `A recipe is a map with name and stages, not ${describeValue(document.value)}.`;
    const hint = 'recipes/tiny.yaml is a small recipe to start from; docs/recipes.md says what each key means.';
    throw invalidFile(file, 'recipe', [{ code: 'not_a_recipe', message, position: document.positionOf([]), hint }]);
  }
  const overridden = applyOverrides(document.value, given);
  const tree = overridden.value as Record<string, unknown>;
  const plugins = Array.isArray(tree.plugins) ? tree.plugins : [];
  return {
    file,
    folder: dirname(resolve(file)),
    text,
    document,
    name: typeof tree.name === 'string' ? tree.name : '',
    plugins: plugins.map(pluginReference).filter((plugin) => plugin !== undefined),
    overridden,
    changes: overridesAsWritten(given),
    ...(given.until === undefined ? {} : { until: given.until }),
  };
}
