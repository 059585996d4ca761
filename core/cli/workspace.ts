import { join, relative } from 'node:path';
import { loadSettings, type Settings } from '../config/settings.js';
import { redactor } from '../events/redaction.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { simmerPackage } from '../plugin/locate.js';
import type { ListedPlugin } from '../plugin/plugin-reference.js';
import { processMachine } from '../plugin/process/process-machine.js';
import { present } from '../present.js';
import type { Overrides } from '../recipe/overrides.js';
import type { Plan } from '../recipe/plan.js';

/** What every command that touches runs or recipes takes. */
export interface WorkspaceFlags {
  readonly home?: string;
  readonly data?: string;
  readonly python?: string;
  readonly json?: boolean;
  /** Address of a server that does the work instead of this machine. */
  readonly server?: string;
  readonly serverTokenFile?: string;
}

/** What a command that reads a recipe takes. */
export interface RecipeFlags extends WorkspaceFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly set: Readonly<Record<string, string>>;
  readonly until?: string;
}

/** What the flags change in a recipe. */
export function givenBy({ param, set, until }: RecipeFlags): Overrides {
  return { params: param, overrides: set, ...(until === undefined ? {} : { until }) };
}

export function settingsFrom(flags: WorkspaceFlags): Promise<Settings> {
  return loadSettings({
    cwd: process.cwd(),
    env: process.env,
    flags: present({ home: flags.home, dataFolder: flags.data, python: flags.python }),
  });
}

/** The built-in plugins, and those that a recipe lists. @param settings of what the plugins' processes are given */
export function catalogOf(
  recipe?: { readonly plugins: readonly ListedPlugin[]; readonly folder: string },
  settings?: Settings,
): PluginCatalog {
  return new PluginCatalog({
    recipePlugins: recipe?.plugins ?? [],
    baseFolder: recipe?.folder ?? process.cwd(),
    ...(settings === undefined ? {} : { machine: processMachine(settings, sayToPeople) }),
  });
}

/** On stderr, without secrets: stdout is for results. */
export function sayToPeople(message: string): void {
  process.stderr.write(`${redactor()(message)}\n`);
}

/** The plugins that a run was started with. */
export function catalogOfPlan(plan: Plan, settings: Settings): PluginCatalog {
  return PluginCatalog.ofPlan(plan, processMachine(settings, sayToPeople));
}

/** The recipe that is run where none is named; it comes with Simmer. */
export function quickstartRecipe(): string {
  return join(simmerPackage.root, 'recipes', 'quickstart.yaml');
}

/** A path as people would type it from here. */
export function shownPath(path: string): string {
  const shorter = relative(process.cwd(), path);
  return shorter === '' || shorter.startsWith('..') ? path : shorter;
}
