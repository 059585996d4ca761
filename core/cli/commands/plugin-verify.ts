import { statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { exitCodes, UserError } from '../../errors.js';
import { manifestFile } from '../../plugin/locate.js';
import { pluginReference } from '../../plugin/plugin-reference.js';
import { processPlugin } from '../../plugin/process/load-listed-process.js';
import { prepareContext, processMachine } from '../../plugin/process/process-machine.js';
import { commandOf } from '../../plugin/process/process-plugin.js';
import { pluginCheckNames, verifyPlugin } from '../../testing/plugin-conformance/verify-plugin.js';
import { colorsFor, sayToPeople, writeJson, writeLine } from '../terminal.js';
import { resultLines, summaryLine } from '../verification-table.js';
import { settingsFrom } from '../workspace.js';

interface PluginVerifyFlags {
  readonly only: readonly string[];
  readonly patience: number;
  readonly python?: string;
  readonly json?: boolean;
}

/** `simmer plugin verify`: holds a plugin of any language against the contract. Exits with 4 where a check fails. */
export async function pluginVerify(words: readonly string[], flags: PluginVerifyFlags): Promise<number> {
  const colors = colorsFor(process.stdout);
  const machine = processMachine(await settingsFrom(flags), sayToPeople);
  const context = await prepareContext(machine, process.cwd());
  const folder = manifestFolder(words);
  const plugin = await processPlugin(
    pluginReference(folder === undefined ? { command: [...words] } : words[0])!,
    folder ?? process.cwd(),
    machine,
  );
  const command = await commandOf(plugin, context);
  const width = Math.max(...pluginCheckNames.map((name) => name.length));
  const verification = await verifyPlugin({
    plugin,
    command,
    patienceSeconds: flags.patience,
    ...(flags.only.length === 0 ? {} : { only: flags.only }),
    onResult: (result) => {
      if (!flags.json) process.stdout.write(`${resultLines(result, width, colors).join('\n')}\n`);
    },
  });
  const { plugin: named, results, hasPassed } = verification;
  const who = named === undefined ? 'The plugin' : `${named.name} ${named.version}`;
  const undeclared = 'of what it does not have';
  if (flags.json) await writeJson(verification);
  else await writeLine(`\n${summaryLine({ who, contract: 'simmer.plugin.v1', results, undeclared }, colors)}`);
  return hasPassed ? exitCodes.ok : exitCodes.runFailed;
}

/** The folder of a manifest, where the words name one; undefined where they are a command. */
function manifestFolder(words: readonly string[]): string | undefined {
  const path = resolve(words[0]!);
  const stats = statSync(path, { throwIfNoEntry: false });
  const folder = stats?.isDirectory() === true ? path : basename(path) === manifestFile ? dirname(path) : undefined;
  if (folder === undefined || words.length > 1) return undefined;
  if (statSync(resolve(folder, manifestFile), { throwIfNoEntry: false }) !== undefined) return folder;
  throw new UserError('plugin_not_a_process', `${words[0]} has no ${manifestFile}.`, {
    hint: 'Verified are plugins in processes of their own. One in JavaScript or TypeScript is tested with simmerkit/testing.',
  });
}
