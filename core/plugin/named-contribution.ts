import { suggestion } from '../document/nearest-name.js';
import { UserError } from '../errors.js';
import { contributionKinds } from './check-shape.js';
import type { ContributionDescription, PluginDescription } from './describe-plugin.js';

/** A contribution as `simmer plugins PLUGIN/NAME --json` tells it. */
export interface NamedContribution extends ContributionDescription {
  /** `plugin/name`, as recipes name it. */
  readonly uses: string;
  /** `stage`, `trainer`, `launcher`, `grader` or `sink`. */
  readonly kind: string;
  /** Of its plugin; so is the version. */
  readonly source: string;
  readonly version: string;
}

/**
 * What a recipe means by `plugin/name`: one contribution, or several of different kinds.
 *
 * @param isOfRecipe whether the plugins of a recipe are among them
 * @throws UserError `unknown_contribution`
 */
export function contributionsNamed(
  uses: string,
  plugins: readonly PluginDescription[],
  isOfRecipe = false,
): readonly [NamedContribution, ...NamedContribution[]] {
  const all = plugins.flatMap((plugin) =>
    contributionKinds.flatMap((kind) =>
      Object.entries(plugin[kind]).map(([name, description]) => ({
        uses: `${plugin.name}/${name}`,
        kind: kind.slice(0, -1),
        source: plugin.source,
        version: plugin.version,
        ...description,
      })),
    ),
  );
  const [first, ...others] = all.filter((contribution) => contribution.uses === uses);
  if (first !== undefined) return [first, ...others];
  const names = [...new Set(all.map((contribution) => contribution.uses))];
  const siblings = names.filter((name) => name.split('/')[0] === uses.split('/')[0]);
  const nearest = suggestion(uses, siblings.length === 0 ? names : siblings) ?? '';
  const norRecipe = isOfRecipe ? '' : ', and no recipe of that name';
  throw new UserError('unknown_contribution', `There is no contribution "${uses}"${norRecipe}.`, {
    hint: isOfRecipe ? nearest : `${nearest} \`simmer plugins\` lists all; ${looksFurther(uses)}`,
  });
}

/**
 * The plugin of a name, as a list of one.
 *
 * @param isOfRecipe whether the plugins of a recipe are among them
 * @throws UserError `unknown_plugin`
 */
export function pluginNamed(
  wanted: string,
  plugins: readonly PluginDescription[],
  isOfRecipe = false,
): readonly [PluginDescription] {
  const found = plugins.find(({ name }) => name === wanted);
  if (found !== undefined) return [found];
  const names = plugins.map(({ name }) => name);
  const nearest = suggestion(wanted, names) ?? '';
  const norRecipe = isOfRecipe ? '' : ', and no recipe of that name';
  throw new UserError('unknown_plugin', `There is no plugin "${wanted}"${norRecipe}.`, {
    hint: isOfRecipe ? nearest : `${nearest} ${looksFurther(wanted)}`,
  });
}

function looksFurther(name: string): string {
  return `\`simmer plugins RECIPE ${name}\` looks into the plugins that a recipe lists, too.`;
}
