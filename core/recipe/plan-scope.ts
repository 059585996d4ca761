import type { Path } from '../document/path.js';
import type { ProblemList } from '../document/problem-list.js';
import { isUserError, type UserError } from '../errors.js';
import type { LoadedPlugin, PluginCatalog } from '../plugin/catalog.js';
import { isPlainReference } from '../plugin/plugin-reference.js';
import type { IsForeign, MarkedOption, RecipeGuard } from './guard.js';
import type { PlannedPlugin } from './plan.js';

/** What planning one recipe shares: its problems, and the plugins that it turned out to use. */
export class PlanScope {
  readonly catalog: PluginCatalog;
  readonly problems: ProblemList;
  readonly recipeFolder: string;
  /** Whether the recipe's budget limits dollars. */
  readonly isUsdLimited: boolean;
  /** `pathKey` of each value that had a reference, to the text that it had. */
  readonly writtenAs: ReadonlyMap<string, string>;
  readonly #guard: RecipeGuard | undefined;
  readonly #isForeign: IsForeign;
  readonly #plugins = new Map<string, LoadedPlugin>();
  readonly #told = new Set<UserError>();

  constructor(options: {
    readonly catalog: PluginCatalog;
    readonly problems: ProblemList;
    readonly recipeFolder: string;
    readonly isUsdLimited: boolean;
    readonly writtenAs: ReadonlyMap<string, string>;
    readonly guard: RecipeGuard | undefined;
    readonly isForeign: IsForeign;
  }) {
    this.catalog = options.catalog;
    this.problems = options.problems;
    this.recipeFolder = options.recipeFolder;
    this.isUsdLimited = options.isUsdLimited;
    this.writtenAs = options.writtenAs;
    this.#guard = options.guard;
    this.#isForeign = options.isForeign;
  }

  /** How a file gets there that the recipe names. */
  get aboutFiles(): string {
    return this.#guard?.aboutFiles ?? "Paths are relative to the recipe's folder.";
  }

  /** Whether the caller allows a value of a marked option; if not, it is a problem. */
  allows(option: MarkedOption): boolean {
    return this.#guard?.allowsOption(option, this.#isForeign, this.problems) ?? true;
  }

  /** Waits for something of a plugin's; a failure becomes a problem at the path. Told twice, it is one problem. */
  async attempt<T>(path: Path, promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      if (!isUserError(error) || error.kind === 'environment') throw error;
      if (!this.#told.has(error)) {
        this.#told.add(error);
        const cause = error.code === 'unknown_plugin' ? ['plugins'] : path;
        this.problems.add(error.code, error.message, path, { hint: error.hint, cause });
      }
      return undefined;
    }
  }

  /** Looks a contribution up, and notes that its plugin is used. */
  async find<C extends { readonly plugin: LoadedPlugin }>(path: Path, lookUp: Promise<C>): Promise<C | undefined> {
    const found = await this.attempt(path, lookUp);
    if (found !== undefined) this.note(found.plugin);
    return found;
  }

  note(plugin: LoadedPlugin): void {
    this.#plugins.set(plugin.definition.name, plugin);
  }

  /** For the plan: by name, sorted. */
  usedPlugins(): Readonly<Record<string, PlannedPlugin>> {
    const named = [...this.#plugins].sort(([left], [right]) => (left < right ? -1 : 1));
    return Object.fromEntries(
      named.map(([name, { definition, source, reference }]) => {
        const isPlain = reference === undefined || isPlainReference(reference);
        return [name, { version: definition.version, source, ...(isPlain ? {} : { listed: reference }) }];
      }),
    );
  }
}
