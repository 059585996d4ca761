import type { Colors } from 'picocolors/types.js';
import { exitCodes } from '../../errors.js';
import type { LoadedPlugin } from '../../plugin/catalog.js';
import type { PluginDefinition } from '../../plugin/definitions.js';
import { loadRecipe } from '../../recipe/load-recipe.js';
import { tableLines } from '../table.js';
import { colorsFor, writeJson, writeLine } from '../terminal.js';
import { catalogOf } from '../workspace.js';

const kinds = ['stages', 'trainers', 'launchers', 'graders', 'sinks'] as const satisfies (keyof PluginDefinition)[];

/** `simmer plugins`: what a recipe may use. */
export async function plugins(file: string | undefined, flags: { readonly json?: boolean }): Promise<number> {
  const recipe = file === undefined ? undefined : await loadRecipe(file, { params: {}, overrides: {} });
  const loaded = await catalogOf(recipe).all();
  if (flags.json) await writeJson(await Promise.all(loaded.map(pluginJson)));
  else await writeLine(pluginLines(loaded, colorsFor(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** The plugins for people: by kind, each contribution with its one sentence. */
export function pluginLines(loaded: readonly LoadedPlugin[], colors: Colors): readonly string[] {
  return kinds.flatMap((kind) => {
    const rows = loaded.flatMap(({ definition, source }) =>
      Object.entries(definition[kind] ?? {}).map(([name, { description }]) => [
        colors.bold(`${definition.name}/${name}`),
        description + (source === 'built-in' ? '' : colors.dim(`  (${source} ${definition.version})`)),
      ]),
    );
    return rows.length === 0 ? [] : [colors.dim(kind), ...tableLines(rows, { indent: '  ' }), ''];
  });
}

async function pluginJson({ definition, source }: LoadedPlugin): Promise<object> {
  const { z } = await import('zod');
  const { name, version, apiVersion } = definition;
  const contributions = kinds.map((kind) => [
    kind,
    Object.fromEntries(
      Object.entries(definition[kind] ?? {}).map(([contribution, given]) => [
        contribution,
        {
          description: given.description,
          options: z.toJSONSchema(given.options, { io: 'input', unrepresentable: 'any' }),
          ...('inputs' in given ? { inputs: given.inputs, outputs: given.outputs } : {}),
        },
      ]),
    ),
  ]);
  return { name, version, apiVersion, source, ...Object.fromEntries(contributions) };
}
