import { join } from 'node:path';
import { type PluginReference, sourceOf } from '../plugin-reference.js';
import { processLimits } from './limits.js';
import { type LoadedProcess, loadProcessPlugin } from './load-process-plugin.js';
import { readManifest } from './manifest.js';
import type { ProcessKeeper } from './process-keeper.js';
import { type ProcessMachine, prepareContext } from './process-machine.js';
import type { ProcessPlugin } from './process-plugin.js';

/**
 * Loads a plugin that is a process, as a recipe lists it: by its folder, or by a command.
 * @param folder where it starts
 * @throws UserError `invalid_plugin_manifest`, and as `loadProcessPlugin`
 */
export async function loadListedProcess(
  reference: PluginReference,
  folder: string,
  machine: ProcessMachine,
  { recipeFolder, keeper }: { readonly recipeFolder: string; readonly keeper: ProcessKeeper },
): Promise<LoadedProcess> {
  const context = await prepareContext(machine, recipeFolder);
  return loadProcessPlugin(await processPlugin(reference, folder, machine), context, keeper);
}

/** @throws UserError `invalid_plugin_manifest` */
export async function processPlugin(
  reference: PluginReference,
  folder: string,
  { memoryBytes }: Pick<ProcessMachine, 'memoryBytes'>,
): Promise<ProcessPlugin> {
  const { command, secrets, limits } = reference;
  const started = { called: sourceOf(reference), folder, secrets };
  if (command !== undefined) return { ...started, command, limits: processLimits(limits, {}, memoryBytes) };
  const manifest = await readManifest(folder);
  return {
    ...started,
    command: manifest.command,
    ...(manifest.python === undefined ? {} : { lockFile: join(folder, manifest.python) }),
    limits: processLimits(limits, manifest.limits, memoryBytes),
  };
}
