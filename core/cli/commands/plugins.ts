import { statSync } from 'node:fs';
import type { Colors } from 'picocolors/types.js';
import { exitCodes } from '../../errors.js';
import { contributionKinds } from '../../plugin/check-shape.js';
import type { PluginDescription } from '../../plugin/describe-plugin.js';
import { contributionsNamed, pluginNamed } from '../../plugin/named-contribution.js';
import { contributionLines } from '../contribution-lines.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

/**
 * `simmer plugins`: what a recipe may use, or of one contribution all that it takes.
 * @param named the contribution, or a plugin, where `what` is the recipe that lists the plugin
 */
export async function plugins(
  what: string | undefined,
  named: string | undefined,
  flags: WorkspaceFlags,
): Promise<number> {
  const isAlone = named === undefined && what !== undefined && readsAsName(what);
  const name = isAlone ? what : named;
  await using workspace = await openWorkspace(flags);
  const described = await workspace.plugins(isAlone ? undefined : what);
  const colors = colorsFor(process.stdout);
  const { columns } = process.stdout;
  if (name?.includes('/')) {
    for (const contribution of contributionsNamed(name, described, named !== undefined)) {
      if (flags.json) await writeJson(contribution);
      else await writeLine(contributionLines(contribution, { width: columns || 80, colors }).join('\n'));
    }
    return exitCodes.ok;
  }
  const listed = name === undefined ? described : pluginNamed(name, described, named !== undefined);
  if (flags.json) await writeJson(listed);
  else await writeLine(pluginLines(listed, { colors, ...(columns ? { width: columns } : {}) }).join('\n'));
  return exitCodes.ok;
}

/** `plugin` or `plugin/name`, unless it is the file of a recipe, or has the ending of one. */
function readsAsName(text: string): boolean {
  if (!/^[^./][^/]*(\/[^/]+)?$/.test(text) || /\.(ya?ml|json)$/i.test(text)) return false;
  return statSync(text, { throwIfNoEntry: false })?.isFile() !== true;
}

/** The plugins for people: by kind, each contribution with its one sentence. */
function pluginLines(
  described: readonly PluginDescription[],
  { colors, width }: { readonly colors: Colors; readonly width?: number },
): readonly string[] {
  return contributionKinds.flatMap((kind) => {
    const rows = described.flatMap((plugin) =>
      Object.entries(plugin[kind]).map(([name, { description }]) => [
        colors.bold(`${plugin.name}/${name}`),
        description + (plugin.source === 'built-in' ? '' : colors.dim(`  (${plugin.source} ${plugin.version})`)),
      ]),
    );
    const layout = { indent: '  ', width };
    return rows.length === 0 ? [] : [colors.dim(kind), ...tableLines(rows, layout), ''];
  });
}
