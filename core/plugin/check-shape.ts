import { isMapValue } from '../document/describe-value.js';
import { UserError } from '../errors.js';
import { apiVersion, type PluginDefinition } from './definitions.js';
import { hookNames } from './hooks.js';

/** What each kind of contribution must have besides `description` and `options`. */
const kinds = {
  stages: { functions: ['run'], objects: ['inputs', 'outputs'] },
  trainers: { functions: ['relevantVersions', 'prepare'], objects: [] },
  launchers: { functions: ['launch', 'attach'], objects: [] },
  graders: { functions: ['start'], objects: [] },
  sinks: { functions: ['open'], objects: [] },
} as const;

/** The kinds of contribution that a plugin may have. */
export type ContributionKind = keyof typeof kinds;

/** In the order in which they are listed. */
export const contributionKinds = Object.keys(kinds) as readonly ContributionKind[];

const pluginName = /^[a-z0-9][a-z0-9.-]*$/;
const semanticVersion = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/;

/**
 * Checks that a module's default export is a plugin, by its shape alone: it may come from another copy of simmerkit.
 *
 * @throws UserError `invalid_plugin` or `api_version_mismatch`, naming the plugin and where it is from
 */
export function checkPluginShape(value: unknown, source: string): PluginDefinition {
  const refuse = (message: string, hint = 'See docs/writing-a-plugin.md for the shape of a plugin.'): never => {
    throw new UserError('invalid_plugin', `Plugin ${source}: ${message}`, { hint });
  };
  if (value === undefined) {
    refuse('its module has no default export.', 'Export it: `export default definePlugin({ name, version, … })`.');
  }
  if (!isMapValue(value)) return refuse(`its default export is ${kindOf(value)}, not a plugin object.`);
  if (typeof value.name !== 'string' || !pluginName.test(value.name)) {
    refuse(`its name must be lower-case letters, digits, "-" and ".", not ${JSON.stringify(value.name)}.`);
  }
  const called = `"${value.name}" (${source})`;
  if (value.apiVersion === undefined) {
    const hint = `Write the number where the plugin is defined: \`apiVersion: ${apiVersion}\`, if it is written for this Simmer.`;
    refuse(`"${value.name}" does not say which plugin API it is written for: it has no \`apiVersion\`.`, hint);
  }
  if (value.apiVersion !== apiVersion) {
    throw new UserError(
      'api_version_mismatch',
      `Plugin ${called} is written for plugin API ${JSON.stringify(value.apiVersion)}; this Simmer has API ${apiVersion}.`,
      { hint: `Install a version of the plugin that is made for API ${apiVersion}, or another version of simmerkit.` },
    );
  }
  const inside = (message: string): never => {
    throw new UserError('invalid_plugin', `Plugin ${called}: ${message}`, {
      hint: 'This is a mistake in the plugin: tell its author, or see docs/writing-a-plugin.md.',
    });
  };
  if (typeof value.version !== 'string' || !semanticVersion.test(value.version)) {
    inside(`its version must be semantic ("1.2.3"), not ${JSON.stringify(value.version)}.`);
  }
  for (const [kind, needs] of Object.entries(kinds)) {
    const contributions = value[kind];
    if (contributions === undefined) continue;
    if (!isMapValue(contributions)) return inside(`\`${kind}\` must be an object, not ${kindOf(contributions)}.`);
    for (const [name, contribution] of Object.entries(contributions)) {
      const path = `${kind}.${name}`;
      if (!isMapValue(contribution)) return inside(`\`${path}\` must be an object, not ${kindOf(contribution)}.`);
      if (typeof contribution.description !== 'string') inside(`\`${path}.description\` must be a string.`);
      if (!isObjectSchema(contribution.options)) inside(`\`${path}.options\` must be z.object({…}) of zod 4.`);
      if (kind === 'trainers' && contribution.extensions !== undefined && !isObjectSchema(contribution.extensions))
        inside(`\`${path}.extensions\` must be z.object({…}) of zod 4.`);
      for (const key of needs.functions) {
        if (typeof contribution[key] !== 'function') inside(`\`${path}.${key}\` must be a function.`);
      }
      for (const key of needs.objects) {
        if (!isMapValue(contribution[key])) inside(`\`${path}.${key}\` must be an object.`);
      }
    }
  }
  const { hooks = {} } = value;
  if (!isMapValue(hooks)) return inside(`\`hooks\` must be an object, not ${kindOf(hooks)}.`);
  for (const [name, hook] of Object.entries(hooks)) {
    if (!(hookNames as readonly string[]).includes(name)) {
      inside(`there is no hook \`${name}\`; there are ${hookNames.join(', ')}.`);
    }
    if (typeof hook !== 'function') inside(`\`hooks.${name}\` must be a function.`);
  }
  return value as unknown as PluginDefinition;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

function isObjectSchema(value: unknown): boolean {
  if (!isMapValue(value) || typeof value.safeParse !== 'function') return false;
  const inner = value._zod;
  return isMapValue(inner) && isMapValue(inner.def) && inner.def.type === 'object';
}
