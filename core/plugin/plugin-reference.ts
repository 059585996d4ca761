import { z } from 'zod';
import { builtInSource } from './locate.js';
import { processLimitsShape } from './process/limits.js';

/** A plugin as a recipe lists it, when it is more than a name or a path. */
const pluginEntryShape = z
  .strictObject({
    plugin: z.string().min(1).optional().describe("An npm package, or a ./path relative to the recipe's folder."),
    command: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('Instead of `plugin`: the words that start a plugin process, in the folder of the recipe.'),
    secrets: z
      .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'it is the name of an environment variable.'))
      .default([])
      .describe('Environment variables that a plugin process is given besides the few that all have.'),
    limits: processLimitsShape
      .prefault({})
      .describe('What a plugin process may take, instead of what its manifest says.'),
  })
  .refine(({ plugin, command }) => (plugin === undefined) !== (command === undefined), {
    message: 'it names either a `plugin` or a `command`.',
  });

/** A plugin as a recipe lists it: an npm name or a path, or one of these with what its process is given. */
export const listedPluginShape = z.union([z.string().min(1), pluginEntryShape]);

/** A plugin that a recipe lists. */
export type PluginReference = z.output<typeof pluginEntryShape>;

/** As a recipe writes it. */
export type ListedPlugin = z.input<typeof listedPluginShape>;

/** Undefined for what is none; the recipe's shape says why. */
export function pluginReference(listed: unknown): PluginReference | undefined {
  const parsed = listedPluginShape.safeParse(listed);
  if (!parsed.success || JSON.stringify(listed).includes('${{')) return undefined;
  return typeof parsed.data === 'string' ? pluginEntryShape.parse({ plugin: parsed.data }) : parsed.data;
}

/** How messages, plans and listings name it. */
export function sourceOf({ plugin, command }: PluginReference): string {
  return plugin ?? command!.join(' ');
}

/** Whether its name or path says all. */
export function isPlainReference({ plugin, secrets, limits }: PluginReference): boolean {
  return plugin !== undefined && secrets.length === 0 && Object.keys(limits).length === 0;
}

/** The plugins that a plan was made with, besides the built-in ones. @param plugins as the plan has them */
export function listedPlugins(
  plugins: Readonly<Record<string, { readonly source: string; readonly listed?: PluginReference }>>,
): readonly ListedPlugin[] {
  return Object.values(plugins)
    .filter(({ source }) => source !== builtInSource)
    .map(({ source, listed }) => listed ?? source);
}
