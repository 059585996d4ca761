import { existsSync, readdirSync } from 'node:fs';
import { join, parse } from 'node:path';
import { setImmediate as others } from 'node:timers/promises';
import type { Settings } from '../config/settings.js';
import { jsonDigest } from '../document/canonical-json.js';
import { isUserError, UserError } from '../errors.js';
import type { Recipe } from '../generated/simmer/control/v1/control.js';
import { PluginCatalog } from '../plugin/catalog.js';
import type { ProcessMachine } from '../plugin/process/process-machine.js';
import { loadRecipe, type ParsedRecipe, parseRecipe } from '../recipe/load-recipe.js';
import type { Plan } from '../recipe/plan.js';
import { planRecipe } from '../recipe/plan-recipe.js';
import { startOf } from '../shortened-text.js';
import type { ServerLimits } from './limits.js';
import { type RecipeRules, recipeGuard } from './recipe-guard.js';
import { Turns } from './turns.js';

/** A recipe as a client gave it, and what it means. */
export interface PlannedRecipe {
  readonly text: string;
  readonly plan: Plan;
  readonly catalog: PluginCatalog;
}

interface RecipeSourceOptions {
  readonly settings: Settings;
  readonly rules: RecipeRules;
  readonly limits: ServerLimits;
  readonly machine: ProcessMachine;
  /** Folders of the recipes that have names here. */
  readonly recipeFolders: readonly string[];
}

/** A name of a recipe: it can lead nowhere else. */
const plainName = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
/** In UTF-16 units: each problem names the file. */
const longestFileName = 1000;
const endings = ['.yaml', '.yml', '.json'];

/** Plans the recipes of clients: texts within the rules, and the server's own by their names. */
export class RecipeSource {
  readonly #options: RecipeSourceOptions;

  readonly #turns: Turns;

  constructor(options: RecipeSourceOptions) {
    this.#options = options;
    const { plans, waitingPlans } = options.limits;
    const refusal = { code: 'too_many_plans', waitFor: 'recipes wait to be checked' };
    this.#turns = new Turns({ atATime: plans, mostWaiting: waitingPlans, refusal });
  }

  /**
   * Waits its turn: a recipe of thousands of stages takes seconds, and to parse it one in which nothing else is done.
   * @throws UserError `invalid_recipe` with everything that is wrong, `recipe_too_large`, `recipe_not_found`,
   * `too_many_plans`
   */
  plan(recipe: Recipe | undefined): Promise<PlannedRecipe> {
    return this.#turns.take(() => this.#plan(recipe));
  }

  async #plan(recipe: Recipe | undefined): Promise<PlannedRecipe> {
    const { rules, settings } = this.#options;
    const { params = {}, overrides = {}, until } = recipe ?? {};
    const given = { params, overrides, ...(until === undefined ? {} : { until }) };
    if (recipe?.source?.$case === 'name') {
      const parsed = await loadRecipe(this.#fileOf(recipe.source.value), given);
      const catalog = this.#catalogOf(parsed);
      const guard = recipeGuard({ ...rules, folder: parsed.folder }, { trustsFile: true });
      return { text: parsed.text, plan: await planRecipe(parsed, catalog, settings, { guard }), catalog };
    }
    if (recipe?.source === undefined) {
      throw new UserError('recipe_missing', 'The request has no recipe.', { hint: 'Give `text`, or `name`.' });
    }
    const text = recipe.source.value;
    this.#checkSize(text);
    const name = recipe.fileName === '' ? 'recipe.yaml' : startOf(recipe.fileName, longestFileName);
    const parsed = { ...parseRecipe(name, text, given), folder: rules.folder };
    await others();
    const catalog = this.#catalogOf(parsed);
    const guard = recipeGuard(rules, { trustsFile: false });
    return { text, plan: await planRecipe(parsed, catalog, settings, { guard }), catalog };
  }

  /** What a request asks for, in short: the same is the same request. */
  static digest(recipe: Recipe | undefined): string {
    const { source, params, overrides, until } = recipe ?? {};
    const part = until === undefined ? [] : [until];
    return jsonDigest([source?.$case ?? null, source?.value ?? null, params ?? {}, overrides ?? {}, ...part]);
  }

  #catalogOf({ plugins, folder }: ParsedRecipe): PluginCatalog {
    return new PluginCatalog({ recipePlugins: plugins, baseFolder: folder, machine: this.#options.machine });
  }

  #fileOf(name: string): string {
    const files = plainName.test(name)
      ? this.#options.recipeFolders.flatMap((folder) => endings.map((end) => join(folder, name + end)))
      : [];
    const file = files.find((path) => existsSync(path));
    if (file !== undefined) return file;
    throw new UserError('recipe_not_found', `The server has no recipe ${JSON.stringify(name)}.`, {
      hint: `It has ${this.#names().join(', ')}. Any other recipe is sent from its file.`,
    });
  }

  /** Of the recipes that clients may run by them. */
  #names(): readonly string[] {
    const files = this.#options.recipeFolders
      .flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))
      .map((file) => parse(file));
    const names = files.flatMap(({ name, ext }) => (endings.includes(ext) && plainName.test(name) ? [name] : []));
    return [...new Set(names)].toSorted();
  }

  #checkSize(text: string): void {
    const { recipeBytes, recipeLines } = this.#options.limits;
    const bytes = Buffer.byteLength(text);
    let lines = 1;
    if (bytes <= recipeBytes) for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
    if (bytes <= recipeBytes && lines <= recipeLines) return;
    const found = bytes > recipeBytes ? `${bytes} bytes` : `${lines} lines`;
    throw new UserError(
      'recipe_too_large',
      `The recipe has ${found}; this server takes ${recipeBytes} bytes and ${recipeLines} lines.`,
      { hint: 'Data belongs in files that the recipe names, not in the recipe.' },
    );
  }
}

/** Whether an error says that the recipe is wrong, and not that the machine is. */
export function isAboutRecipe(error: unknown): error is UserError {
  return isUserError(error) && error.kind === 'usage';
}
