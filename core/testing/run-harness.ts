import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Artifact, Row, TableArtifact } from '../artifacts/artifact.js';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Settings } from '../config/settings.js';
import { createRunManager } from '../container/create-run-manager.js';
import { eventsFile } from '../engine/run-folder.js';
import type { ResumeOptions, RunManager } from '../engine/run-manager.js';
import type { RunHandle, RunOutcome } from '../engine/run-outcome.js';
import type { Event, EventType } from '../events/catalogue.js';
import type { LogFileSystem } from '../events/log-file-system.js';
import { readEvents } from '../events/replay.js';
import { makeTemporaryFolder } from '../files/temporary-folder.js';
import { PluginCatalog } from '../plugin/catalog.js';
import type { PluginDefinition, Sink } from '../plugin/definitions.js';
import { builtInPlugins } from '../plugin/locate.js';
import type { ListedPlugin } from '../plugin/plugin-reference.js';
import { processMachine } from '../plugin/process/process-machine.js';
import { parseRecipe } from '../recipe/load-recipe.js';
import type { Plan } from '../recipe/plan.js';
import { planRecipe } from '../recipe/plan-recipe.js';

export interface RunHarnessOptions {
  /** The plugins under test, as objects. A recipe need not list them; their hooks are called as if it did. */
  readonly plugins: readonly PluginDefinition[];
  /** More of them, as a recipe lists them: by path or command, for plugins that are processes. @default none */
  readonly listedPlugins?: readonly ListedPlugin[];
  /** Whether Simmer's own plugins are there, too. @default false */
  readonly withBuiltIn?: boolean;
  /** Sinks that every run has, by `uses`. @default none */
  readonly sinks?: readonly string[];
  /** What stages share. @default 2 cores, 4 GiB, no GPU */
  readonly resources?: Partial<Settings['resources']>;
  /** Prices and data sheets by name. @default the built-in table */
  readonly hardware?: Settings['hardware'];
  readonly logFileSystem?: LogFileSystem;
  /** An existing folder of environments and models, which is then left as it is. @default a new one */
  readonly cacheFolder?: string;
  /** An existing home to work in, which is then left as it is; for tests of several cores. @default a new one */
  readonly home?: string;
}

export interface HarnessRunOptions {
  readonly params?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly sinks?: readonly Sink[];
}

/** A run that has ended, with what came of it. */
export interface HarnessRun {
  readonly runId: string;
  readonly runFolder: string;
  readonly outcome: RunOutcome;
  /** The whole log, from the first event. */
  readonly events: readonly Event[];
  /** The events of one type, e.g. `eventsOf('metric.measured')`. */
  eventsOf<T extends EventType>(type: T): readonly Event<T>[];
  /** An output of a run that completed, by `stage.output`. */
  artifact(output: string): Promise<Artifact | TableArtifact>;
  /** The rows of an output that is a table, by `stage.output`. */
  rows(output: string): Promise<readonly Row[]>;
}

/**
 * Runs recipes with a plugin under test, on the real engine and store, in a temporary home: what `simmer run` does, without
 * the terminal. Dispose of it when done (`await using`): the home goes with it.
 */
export class RunHarness implements AsyncDisposable {
  readonly home: string;
  readonly settings: Settings;
  readonly catalog: PluginCatalog;
  readonly manager: RunManager;
  readonly #folder: string;

  private constructor(folder: string, settings: Settings, catalog: PluginCatalog, manager: RunManager) {
    this.#folder = folder;
    this.home = settings.home;
    this.settings = settings;
    this.catalog = catalog;
    this.manager = manager;
  }

  static async create(options: RunHarnessOptions): Promise<RunHarness> {
    const folder = await makeTemporaryFolder('simmer-harness-');
    const settings: Settings = {
      home: options.home ?? join(folder, 'home'),
      cacheFolder: options.cacheFolder ?? join(folder, 'cache'),
      resources: { cpus: 2, memoryBytes: 4 * 2 ** 30, gpus: 0, ...options.resources },
      ...(options.hardware === undefined ? {} : { hardware: options.hardware }),
      sources: {},
    };
    const modules = await Promise.all(options.plugins.map((plugin) => writeModule(folder, plugin)));
    const withHooks = new Set(options.plugins.flatMap(({ name, hooks }) => (hooks === undefined ? [] : [name])));
    const builtIn = {
      ...(options.withBuiltIn === true ? builtInPlugins() : {}),
      ...Object.fromEntries(modules.filter(([name]) => !withHooks.has(name))),
    };
    const hooked = modules.filter(([name]) => withHooks.has(name)).map(([, module]) => module);
    const catalog = new PluginCatalog({
      builtIn,
      recipePlugins: [...hooked, ...(options.listedPlugins ?? [])],
      baseFolder: folder,
      machine: processMachine(settings, () => {}),
    });
    const { logFileSystem, sinks: builtInSinks = [] } = options;
    const manager = await createRunManager({
      settings,
      catalog,
      builtInSinks,
      ...(logFileSystem === undefined ? {} : { logFileSystem }),
    });
    return new RunHarness(folder, settings, catalog, manager);
  }

  /** The folder that paths in recipes are relative to. */
  get recipeFolder(): string {
    return this.#folder;
  }

  /** @param recipe the text of a recipe @throws UserError `invalid_recipe` with everything that is wrong */
  plan(recipe: string, params: Readonly<Record<string, string>> = {}): Promise<Plan> {
    const parsed = parseRecipe(join(this.#folder, 'recipe.yaml'), recipe, { params, overrides: {} });
    return planRecipe(parsed, this.catalog, this.settings);
  }

  /** Starts a recipe; the handle tells how it goes. */
  async start(recipe: string, { params, ...options }: HarnessRunOptions = {}): Promise<RunHandle> {
    return this.manager.start(await this.plan(recipe, params), { recipeText: recipe, ...options });
  }

  /** Runs a recipe to its end, whichever that is. */
  async run(recipe: string, options: HarnessRunOptions = {}): Promise<HarnessRun> {
    return this.ended(await this.start(recipe, options));
  }

  /** Goes on with a run, to its end. */
  async resume(
    runId: string,
    options: Omit<HarnessRunOptions, 'params'> & Pick<ResumeOptions, 'budgetChange'> = {},
  ): Promise<HarnessRun> {
    return this.ended(await this.manager.resume(runId, options));
  }

  /** Waits for the end of a run and reads what came of it. */
  async ended({ runId, runFolder, finished }: RunHandle): Promise<HarnessRun> {
    const outcome = await finished;
    const events: Event[] = [];
    for await (const event of readEvents(eventsFile(runFolder))) events.push(event);
    const store = await ArtifactStore.open(this.home);
    const artifact = async (output: string) => {
      const uri = outcome.status === 'completed' ? outcome.outputs[output] : undefined;
      if (uri === undefined) throw new Error(`The run has no output "${output}": ${JSON.stringify(outcome)}`);
      return store.open(uri);
    };
    return {
      runId,
      runFolder,
      outcome,
      events,
      eventsOf: <T extends EventType>(type: T) =>
        events.filter((event) => event.type === type) as readonly Event[] as readonly Event<T>[],
      artifact,
      async rows(output) {
        const table = await artifact(output);
        if (!('rows' in table)) throw new Error(`The output "${output}" is a ${table.type}, not a table.`);
        const rows: Row[] = [];
        for await (const row of table.rows()) rows.push(row);
        return rows;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Where modules find the plugin that stands for them; on `globalThis`, for a module may be loaded twice. */
const registryKey = 'simmerkit.testing.plugins';

/**
 * Plugins come into a catalog as modules, so an object becomes one: a file that takes it from this process. The digest of
 * its code follows its version and the source of its stages.
 */
async function writeModule(folder: string, plugin: PluginDefinition): Promise<readonly [string, string]> {
  const global = globalThis as Record<string, unknown>;
  const registry = (global[registryKey] as Map<string, PluginDefinition> | undefined) ?? new Map();
  global[registryKey] = registry;
  const place = join(folder, 'plugins', plugin.name);
  await mkdir(place, { recursive: true });
  const module = join(place, 'plugin.mjs');
  registry.set(pathToFileURL(module).href, plugin);
  await writeFile(module, `export default globalThis[${JSON.stringify(registryKey)}].get(import.meta.url);\n`);
  const sources = Object.entries(plugin.stages ?? {}).map(([name, { run }]) => [name, String(run)]);
  await writeFile(join(place, 'sources.json'), JSON.stringify([plugin.version, sources]));
  return [plugin.name, module];
}
