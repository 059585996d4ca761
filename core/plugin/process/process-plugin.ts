import { resolve } from 'node:path';
import { UserError } from '../../errors.js';
import { preparePythonEnvironment } from '../../process/python-environment.js';
import type { PrepareContext } from '../definitions.js';
import { pluginPackageFolder } from '../locate.js';
import type { ProcessLimits } from './limits.js';
import { type PluginCommand, PluginProcess } from './plugin-process.js';

/** A plugin that is a process: what its folder and the recipe say of it. */
export interface ProcessPlugin {
  /** For messages: what the recipe calls it, and its own name once that is known. */
  readonly called: string;
  /** Where it starts. */
  readonly folder: string;
  /** The words that start it. */
  readonly command: readonly string[];
  /** Pinned requirements of the environment whose Python the first word is, where that is `python`. */
  readonly lockFile?: string;
  readonly secrets: readonly string[];
  readonly limits: ProcessLimits;
}

/**
 * How the process is started here and now: makes its Python environment, where it wants one.
 * @throws UserError as `preparePythonEnvironment`
 */
export async function commandOf(plugin: ProcessPlugin, context: PrepareContext): Promise<PluginCommand> {
  const { called, folder, secrets, limits } = plugin;
  const started = { plugin: called, folder, secrets, limits };
  if (plugin.lockFile === undefined) return { ...started, argv: plugin.command, env: {} };
  const [program, ...rest] = plugin.command;
  if (program !== 'python') {
    throw new UserError(
      'invalid_plugin_manifest',
      `Plugin ${called} names \`python\` requirements, but its command starts with ${JSON.stringify(program)}.`,
      { hint: 'The first word of the command is `python` then: the Python of the environment that Simmer makes.' },
    );
  }
  const environment = await preparePythonEnvironment({
    name: 'plugin',
    lockFile: plugin.lockFile,
    ...(context.python === undefined ? {} : { python: resolve(context.python) }),
    cacheFolder: context.cacheFolder,
    packageFolders: [folder, pluginPackageFolder],
    context,
  });
  return { ...started, lockFile: plugin.lockFile, argv: [environment.python, ...rest], env: environment.env };
}

/** Starts a process that has to do with a run, and with no recipe's folder; what it prints goes to the log. */
export async function startProcess(
  plugin: ProcessPlugin,
  context: Pick<PrepareContext, 'cacheFolder' | 'python' | 'log' | 'signal'>,
): Promise<PluginProcess> {
  const { signal, log } = context;
  const command = await commandOf(plugin, { ...context, recipeFolder: plugin.folder, emit: async () => {} });
  return PluginProcess.start(command, { signal, onOutput: log.info });
}
