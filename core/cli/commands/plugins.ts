import type { Colors } from 'picocolors/types.js';
import { exitCodes } from '../../errors.js';
import { contributionKinds, type PluginDescription } from '../../plugin/describe-plugin.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/** `simmer plugins`: what a recipe may use. */
export async function plugins(file: string | undefined, flags: WorkspaceFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const described = await workspace.plugins(file);
  if (flags.json) await writeJson(described);
  else await writeLine(pluginLines(described, colorsFor(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** The plugins for people: by kind, each contribution with its one sentence. */
export function pluginLines(described: readonly PluginDescription[], colors: Colors): readonly string[] {
  return contributionKinds.flatMap((kind) => {
    const rows = described.flatMap((plugin) =>
      Object.entries(plugin[kind]).map(([name, { description }]) => [
        colors.bold(`${plugin.name}/${name}`),
        description + (plugin.source === 'built-in' ? '' : colors.dim(`  (${plugin.source} ${plugin.version})`)),
      ]),
    );
    return rows.length === 0 ? [] : [colors.dim(kind), ...tableLines(rows, { indent: '  ' }), ''];
  });
}
