import { existsSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { canonicalJson } from '../document/canonical-json.js';
import { suggestion } from '../document/nearest-name.js';
import { isUserError, UserError } from '../errors.js';
import type { Plan } from '../recipe/plan.js';
import { remembered } from '../remembered.js';
import { type ContributionKind, checkPluginShape } from './check-shape.js';
import { commandDigest, folderDigest, moduleDigest } from './code-digest.js';
import type {
  GraderDefinition,
  LauncherDefinition,
  PluginDefinition,
  Sink,
  SinkDefinition,
  StageDefinition,
  TrainerDefinition,
} from './definitions.js';
import { builtInPlugins, builtInSource, locatePlugin, simmerPackage } from './locate.js';
import type { Log } from './log.js';
import {
  type ListedPlugin,
  listedPlugins,
  type PluginReference,
  pluginReference,
  sourceOf,
} from './plugin-reference.js';
import type { LoadedProcess } from './process/load-process-plugin.js';
import { ProcessKeeper } from './process/process-keeper.js';
import { defaultProcessMachine, type ProcessMachine } from './process/process-machine.js';
import { expectTypelessModules } from './typeless-modules.js';

/** A plugin whose module is loaded and whose shape is right. */
export interface LoadedPlugin {
  readonly definition: PluginDefinition;
  /** `built-in`, or the npm name, path or command by which the recipe names it. */
  readonly source: string;
  /** As the recipe lists it; absent for one that is built in. */
  readonly reference?: PluginReference;
  /** Of one that is a process and has the hook onEvent: its sink for the events of one run. */
  openEvents?(log: Log): Sink;
  /** SHA-256 over its code, lower-case hex; read once, then remembered. */
  codeDigest(): Promise<string>;
  /** Of a process, which is started anew for a run's work: whether its code is no longer that of `codeDigest`. */
  isChanged?(): Promise<boolean>;
}

/** One contribution and the plugin that it is from. */
export interface Contribution<Definition> {
  readonly plugin: LoadedPlugin;
  readonly definition: Definition;
}

interface PluginCatalogOptions {
  /** Name to absolute module path. @default `builtInPlugins` */
  readonly builtIn?: Readonly<Record<string, string>>;
  /** What the recipe lists; paths are relative to `baseFolder`. */
  readonly recipePlugins?: readonly ListedPlugin[];
  readonly baseFolder: string;
  /** What plugins that are processes are given of the machine. */
  readonly machine?: ProcessMachine;
}

/**
 * The plugins that a recipe may use. A built-in plugin is loaded when it is first asked for; those that the recipe lists
 * are loaded together, for only their modules know their names. Each is loaded once, and a failure stays a failure.
 */
export class PluginCatalog {
  readonly #builtIn: Readonly<Record<string, string>>;
  readonly #baseFolder: string;
  readonly #machine: ProcessMachine;
  /** As listed by the recipe, each once. */
  readonly recipePlugins: readonly PluginReference[];
  readonly #loaded = new Map<string, Promise<LoadedPlugin>>();
  readonly #keeper = new ProcessKeeper();

  constructor(options: PluginCatalogOptions) {
    this.#builtIn = options.builtIn ?? builtInPlugins();
    this.#baseFolder = options.baseFolder;
    this.#machine = options.machine ?? defaultProcessMachine();
    const listed = (options.recipePlugins ?? []).map(pluginReference).filter((reference) => reference !== undefined);
    this.recipePlugins = [...new Map(listed.map((reference) => [keyOf(reference), reference])).values()];
  }

  /** The plugins that a plan was made with. */
  static ofPlan({ plugins, recipeFolder }: Plan, machine: ProcessMachine): PluginCatalog {
    return new PluginCatalog({ recipePlugins: listedPlugins(plugins), baseFolder: recipeFolder, machine });
  }

  /**
   * A plugin by its name.
   *
   * @throws UserError `unknown_plugin`, `plugin_failed_to_load`, `plugin_not_found`, `invalid_plugin`,
   *   `api_version_mismatch`, `plugin_name_taken`, `not_built`
   */
  async plugin(name: string): Promise<LoadedPlugin> {
    if (Object.hasOwn(this.#builtIn, name)) return this.#builtInPlugin(name);
    const listed = await Promise.allSettled(this.recipePlugins.map((reference) => this.recipePlugin(reference)));
    for (const result of listed) {
      if (result.status === 'fulfilled' && result.value.definition.name === name) return result.value;
    }
    for (const result of listed) if (result.status === 'rejected') throw result.reason;
    const names = listed.flatMap((result) => (result.status === 'fulfilled' ? [result.value.definition.name] : []));
    const nearest = suggestion(name, [...Object.keys(this.#builtIn), ...names]);
    const how = 'A plugin that is not built in is listed under `plugins`.';
    throw new UserError('unknown_plugin', `There is no plugin "${name}".`, {
      hint: nearest === undefined ? how : `${nearest} ${how}`,
    });
  }

  /** A plugin as the recipe lists it. @throws UserError as `plugin` does */
  recipePlugin(reference: PluginReference): Promise<LoadedPlugin> {
    return this.#once(`listed ${keyOf(reference)}`, () => this.#loadListed(reference));
  }

  /**
   * Plugins that are processes answer what is asked while a recipe is planned from one process each, until what is
   * returned is disposed of; without it, each question starts a process.
   */
  keepProcesses(): AsyncDisposable {
    return this.#keeper.hold();
  }

  /** Every plugin, loaded: the built-in ones first. For listings and schemas; a run loads only what it uses. */
  all(): Promise<readonly LoadedPlugin[]> {
    return Promise.all([
      ...Object.keys(this.#builtIn).map((name) => this.#builtInPlugin(name)),
      ...this.recipePlugins.map((reference) => this.recipePlugin(reference)),
    ]);
  }

  /** @param uses `plugin/stage` @throws UserError as `plugin` does, or `unknown_stage`, or `invalid_uses` */
  stage(uses: string): Promise<Contribution<StageDefinition>> {
    return this.#contribution('stages', 'stage', uses);
  }

  /** @param uses `plugin/trainer` @throws UserError as `plugin` does, or `unknown_trainer`, or `invalid_uses` */
  trainer(uses: string): Promise<Contribution<TrainerDefinition>> {
    return this.#contribution('trainers', 'trainer', uses);
  }

  /** @param uses `plugin/launcher` @throws UserError as `plugin` does, or `unknown_launcher`, or `invalid_uses` */
  launcher(uses: string): Promise<Contribution<LauncherDefinition>> {
    return this.#contribution('launchers', 'launcher', uses);
  }

  /** @param uses `plugin/grader` @throws UserError as `plugin` does, or `unknown_grader`, or `invalid_uses` */
  grader(uses: string): Promise<Contribution<GraderDefinition>> {
    return this.#contribution('graders', 'grader', uses);
  }

  /** @param uses `plugin/sink` @throws UserError as `plugin` does, or `unknown_sink`, or `invalid_uses` */
  sink(uses: string): Promise<Contribution<SinkDefinition>> {
    return this.#contribution('sinks', 'sink', uses);
  }

  async #contribution<Definition>(
    kind: ContributionKind,
    word: string,
    uses: string,
  ): Promise<Contribution<Definition>> {
    const [pluginName, name, ...rest] = uses.split('/');
    if (!pluginName || !name || rest.length > 0) {
      throw new UserError(
        'invalid_uses',
        `"${uses}" does not name a ${word}: it must read PLUGIN/${word.toUpperCase()}.`,
        {
          hint: `\`simmer plugins\` lists every ${word}.`,
        },
      );
    }
    const plugin = await this.plugin(pluginName);
    const contributions = (plugin.definition[kind] ?? {}) as Readonly<Record<string, Definition>>;
    if (!Object.hasOwn(contributions, name)) {
      const uses = Object.keys(contributions).map((other) => `${pluginName}/${other}`);
      throw new UserError(`unknown_${word}`, `Plugin "${pluginName}" has no ${word} "${name}".`, {
        hint: suggestion(`${pluginName}/${name}`, uses) ?? `It has no ${kind} at all.`,
      });
    }
    return { plugin, definition: contributions[name] as Definition };
  }

  #builtInPlugin(name: string): Promise<LoadedPlugin> {
    return this.#once(`built-in ${name}`, async () => {
      const module = this.#builtIn[name]!;
      if (!existsSync(module)) {
        throw new UserError('not_built', `The built-in plugin "${name}" is not built: no file ${module}.`, {
          kind: 'environment',
          hint: 'Run `npm run build`.',
        });
      }
      const definition = await importPlugin(module, `"${name}" (${builtInSource})`);
      // Stubs that a build makes of the proto files are not written alike by every version of its tools.
      const codeDigest = remembered(() => folderDigest(builtInFolders(module), ['generated']));
      return { definition, source: builtInSource, codeDigest };
    });
  }

  async #loadListed(reference: PluginReference): Promise<LoadedPlugin> {
    const source = sourceOf(reference);
    const { definition, digest, isProcess, ...events } = await this.#load(reference);
    const { name } = definition;
    const taken = (by: string): never => {
      throw new UserError('plugin_name_taken', `Plugin "${name}" (${source}) has the name of another: ${by}.`, {
        hint: 'Leave one of the two out; names of plugins are unique in a recipe.',
      });
    };
    if (Object.hasOwn(this.#builtIn, name)) taken('the built-in one');
    const place = this.recipePlugins.findIndex((other) => keyOf(other) === keyOf(reference));
    for (const earlier of this.recipePlugins.slice(0, Math.max(0, place))) {
      const other = await this.recipePlugin(earlier).catch(() => undefined);
      if (other?.definition.name === name) taken(sourceOf(earlier));
    }
    const codeDigest = remembered(digest);
    const isChanged = async () => (await digest().catch(() => undefined)) !== (await codeDigest());
    return { definition, ...events, source, reference, codeDigest, ...(isProcess ? { isChanged } : {}) };
  }

  async #load(
    reference: PluginReference,
  ): Promise<LoadedProcess & { digest(): Promise<string>; readonly isProcess: boolean }> {
    const { plugin, command } = reference;
    const source = sourceOf(reference);
    if (plugin === undefined) {
      const folder = this.#baseFolder;
      const digest = () => commandDigest(command!, folder);
      return { ...(await this.#loadProcess(reference, folder)), digest, isProcess: true };
    }
    const location = locatePlugin(plugin, this.#baseFolder);
    const { folder } = location;
    if (location.kind === 'process') {
      const loaded = await this.#loadProcess(reference, location.folder);
      return { ...loaded, digest: () => folderDigest([location.folder]), isProcess: true };
    }
    refuseProcessKeys(reference);
    const definition = await importPlugin(location.module, source);
    return {
      definition,
      digest: () => (folder === undefined ? moduleDigest(location.module) : folderDigest([folder])),
      isProcess: false,
    };
  }

  async #loadProcess(reference: PluginReference, folder: string): Promise<LoadedProcess> {
    // gRPC takes long to load: only where there is such a plugin.
    const { loadListedProcess } = await import('./process/load-listed-process.js');
    const where = { recipeFolder: this.#baseFolder, keeper: this.#keeper };
    const loaded = await loadListedProcess(reference, folder, this.#machine, where);
    return { ...loaded, definition: checkPluginShape(loaded.definition, sourceOf(reference)) };
  }

  #once(key: string, load: () => Promise<LoadedPlugin>): Promise<LoadedPlugin> {
    const loading = this.#loaded.get(key) ?? load();
    this.#loaded.set(key, loading);
    return loading;
  }
}

async function importPlugin(module: string, called: string): Promise<PluginDefinition> {
  let loaded: { readonly default?: unknown };
  expectTypelessModules();
  try {
    loaded = (await import(/* @vite-ignore */ pathToFileURL(module).href)) as { readonly default?: unknown };
  } catch (error) {
    if (isUserError(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError('plugin_failed_to_load', `Plugin ${called} failed to load: ${reason}`, {
      cause: error,
      hint: loadingHint(error, reason) ?? `Its code is ${module}: mend it there, or leave the plugin out.`,
    });
  }
  return checkPluginShape(exportedOnceMore(loaded.default) ?? loaded.default, called);
}

/** TypeScript's `export default`, compiled to CommonJS: a property of what Node takes for the default export. */
function exportedOnceMore(exported: unknown): unknown {
  const { __esModule: isCompiled, default: plugin } = (exported ?? {}) as Readonly<Record<string, unknown>>;
  return isCompiled === true ? plugin : undefined;
}

function loadingHint(error: unknown, reason: string): string | undefined {
  const code = (error as { readonly code?: unknown } | null)?.code;
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION')
    return 'Plugins are loaded as JavaScript: compile it, and name the result.';
  if (code === 'ERR_MODULE_NOT_FOUND' && reason.includes("'simmerkit'")) {
    return `It imports simmerkit: run \`npm install ${simmerPackage.root}\` in the plugin's folder.`;
  }
  return undefined;
}

/** A built-in plugin's code: its compiled folder, and the Python package that it starts, if it has one. */
function builtInFolders(module: string): string[] {
  const folder = dirname(module);
  const fromRoot = relative(simmerPackage.root, folder).split(sep);
  const source = join(simmerPackage.root, ...(fromRoot[0] === 'dist' ? fromRoot.slice(1) : fromRoot));
  return folder === source ? [folder] : [folder, join(source, 'python')];
}

function keyOf(reference: PluginReference): string {
  return canonicalJson(reference);
}

/** @throws UserError `plugin_not_a_process` */
function refuseProcessKeys({ plugin, secrets, limits }: PluginReference): void {
  if (secrets.length === 0 && Object.keys(limits).length === 0) return;
  throw new UserError(
    'plugin_not_a_process',
    `Plugin "${plugin}" runs inside of Simmer: it has Simmer's environment, and no limits of its own.`,
    { hint: 'Leave `secrets` and `limits` out; they are for plugins with a simmer-plugin.yaml or a `command`.' },
  );
}
