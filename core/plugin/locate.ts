import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.js';

/** The file that makes a folder a plugin that is a process. */
export const manifestFile = 'simmer-plugin.yaml';

/** Where a plugin's code is. */
type PluginLocation =
  | {
      readonly kind: 'module';
      /** Absolute path of the module whose default export is the plugin. */
      readonly module: string;
      /** The folder that holds all of its code; absent for a plugin that is one file. */
      readonly folder?: string;
    }
  /** A folder with a manifest: a plugin that is a process of its own. */
  | { readonly kind: 'process'; readonly folder: string };

interface PackageJson {
  readonly name?: unknown;
  readonly version?: unknown;
  readonly main?: unknown;
  readonly exports?: unknown;
  readonly simmer?: { readonly plugins?: Readonly<Record<string, string>> };
}

/** Simmer's own package: the nearest folder above this module whose package.json is simmerkit's. */
export const simmerPackage: { readonly root: string; readonly version: string; readonly json: PackageJson } = (() => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const json = readPackage(folder);
    if (json?.name === 'simmerkit') return { root: folder, version: String(json.version), json };
    if (folder === dirname(folder)) throw new Error('simmerkit has lost its package.json');
  }
})();

/** The folder of the Python package `simmer_plugin`, for authors of plugins. */
export const pluginPackageFolder = join(simmerPackage.root, 'proto', 'clients', 'python-plugin');

/** `source` of the plugins that come with Simmer. */
export const builtInSource = 'built-in';

/** The plugins that come with Simmer, as its package.json lists them: name to absolute module path. Loads nothing. */
export function builtInPlugins(): Readonly<Record<string, string>> {
  const runsFromSource = import.meta.url.endsWith('.ts');
  const listed = Object.entries(simmerPackage.json.simmer?.plugins ?? {});
  return Object.fromEntries(
    listed.map(([name, path]) => [
      name,
      // Tests run the sources, which the build puts under dist/ by the same path.
      resolve(simmerPackage.root, runsFromSource ? path.replace('/dist/', '/').replace(/\.js$/, '.ts') : path),
    ]),
  );
}

/**
 * Finds a plugin that a recipe names.
 *
 * @param specifier an npm package, or a path (`./…`, `../…`, absolute) of a module or of a folder with one or a manifest
 * @param baseFolder the recipe's; packages are looked for from there upwards, then beside Simmer itself
 * @throws UserError `plugin_not_found`
 */
export function locatePlugin(specifier: string, baseFolder: string): PluginLocation {
  if (specifier.startsWith('.') || isAbsolute(specifier)) {
    const path = resolve(baseFolder, specifier);
    if (!existsSync(path)) {
      throw new UserError('plugin_not_found', `Plugin "${specifier}" is not there: no file or folder ${path}.`, {
        hint: existsSync(baseFolder)
          ? "Paths of plugins are relative to the recipe's folder."
          : "The recipe's folder is gone. If it was moved, `simmer run` the recipe where it is now, which does nothing twice.",
      });
    }
    if (statSync(path).isDirectory()) return packageEntry(specifier, path);
    return basename(path) === manifestFile
      ? { kind: 'process', folder: dirname(path) }
      : { kind: 'module', module: path };
  }
  for (const start of [baseFolder, simmerPackage.root]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const candidate = join(folder, 'node_modules', specifier);
      if (existsSync(join(candidate, 'package.json'))) return packageEntry(specifier, candidate);
      if (folder === dirname(folder)) break;
    }
  }
  throw new UserError(
    'plugin_not_found',
    `Plugin "${specifier}" is not installed where the recipe is (${baseFolder}).`,
    {
      hint: `Run \`npm install ${specifier}\` there; a plugin by path starts with "./".`,
    },
  );
}

function packageEntry(specifier: string, folder: string): PluginLocation {
  if (existsSync(join(folder, manifestFile))) return { kind: 'process', folder };
  const json = readPackage(folder);
  const entry = [exportedEntry(json?.exports), json?.main, './plugin.js', './index.js'].find(
    (path): path is string => typeof path === 'string' && existsSync(resolve(folder, path)),
  );
  if (entry === undefined) {
    throw new UserError('plugin_not_found', `Plugin "${specifier}" has no module to load in ${folder}.`, {
      hint: 'Its package.json needs "exports" or "main" naming a file that exists (build the plugin first), or it needs a plugin.js or simmer-plugin.yaml.',
    });
  }
  return { kind: 'module', module: resolve(folder, entry), folder };
}

/** The entry for `import` among a package's exports: conditions in their order, as Node takes them. */
function exportedEntry(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports;
  if (Array.isArray(exports)) return exports.map(exportedEntry).find((entry) => entry !== undefined);
  if (typeof exports !== 'object' || exports === null) return undefined;
  for (const [key, value] of Object.entries(exports)) {
    if (['.', 'import', 'node', 'default'].includes(key)) {
      const entry = exportedEntry(value);
      if (entry !== undefined) return entry;
    }
  }
  return undefined;
}

function readPackage(folder: string): PackageJson | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson;
  } catch {
    return undefined;
  }
}
