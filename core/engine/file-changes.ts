import { asSchema, descend, mapOptions } from '../document/option-schema.js';
import { pathKey, valueAt } from '../document/path.js';
import { isUrl } from '../files/is-url.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { namedDigest } from '../recipe/content-digest.js';
import type { Plan, PlannedStage } from '../recipe/plan.js';

/**
 * An earlier plan with the digests of the files that are there now: what still has to run is keyed by what it will read.
 *
 * @param done names of stages whose outputs are there; these keep theirs
 * @returns the changes as sentences, for the log
 */
export async function withPresentFiles(
  plan: Plan,
  catalog: PluginCatalog,
  done: ReadonlySet<string>,
): Promise<{ readonly plan: Plan; readonly changes: readonly string[] }> {
  const changed = new Set<string>();
  const stages: PlannedStage[] = [];
  for (const stage of plan.stages) {
    const digests = done.has(stage.name) ? noDigests : await digestsOf(stage, plan.recipeFolder, catalog);
    const present = mapOptions(undefined, stage.semanticOptions, (_, __, path) => {
      const sha256 = digests.get(pathKey(path));
      if (sha256 === undefined || sha256 === valueAt(stage.semanticOptions, [...path, 'sha256'])) return descend;
      changed.add(String(valueAt(stage.options, path)));
      return { sha256 };
    });
    stages.push({ ...stage, semanticOptions: present as PlannedStage['semanticOptions'] });
  }
  const changes = [...changed].map(
    (name) => `${name} has changed since the run began: what is left to do goes by what is there now.`,
  );
  return { plan: { ...plan, stages }, changes };
}

const noDigests: ReadonlyMap<string, string> = new Map();

/** Of the files that a stage's options name, by the keys of their paths. Of one that is gone the stage itself tells. */
async function digestsOf(
  stage: PlannedStage,
  folder: string,
  catalog: PluginCatalog,
): Promise<ReadonlyMap<string, string>> {
  const { definition } = await catalog.stage(stage.uses);
  const names = new Map<string, string>();
  mapOptions(asSchema(definition.options), stage.options, (marks, value, path) => {
    // Of what is no part of the key nothing is looked at.
    const isKeyed = typeof valueAt(stage.semanticOptions, [...path, 'sha256']) === 'string';
    if (marks.file && isKeyed && typeof value === 'string' && !isUrl(value)) names.set(pathKey(path), value);
    return descend;
  });
  const digests = new Map<string, string>();
  for (const [key, name] of names) {
    const digest = await namedDigest(name, folder);
    if (digest !== undefined) digests.set(key, digest);
  }
  return digests;
}
