import type { LoadedPlugin, PluginCatalog } from '../plugin/catalog.js';
import { codeDigestOf } from '../recipe/checked-options.js';
import { gradersOf } from '../recipe/grader-versions.js';
import type { Plan, PlannedStage } from '../recipe/plan.js';

/**
 * An earlier plan with the code that is there now: what ran by the old code keeps its key, what still has to run is keyed
 * by what will run.
 *
 * @param done names of stages whose outputs are there; these keep theirs
 * @returns the changes as sentences, for the log
 */
export async function withPresentCode(
  plan: Plan,
  catalog: PluginCatalog,
  done: ReadonlySet<string>,
): Promise<{ readonly plan: Plan; readonly changes: readonly string[] }> {
  const changed = new Set<string>();
  const note = (planned: string, present: string, plugins: readonly LoadedPlugin[]): string => {
    if (present !== planned) for (const { definition } of plugins) changed.add(definition.name);
    return present;
  };
  const stages = await Promise.all(
    plan.stages.map(async (stage) => {
      if (done.has(stage.name)) return stage;
      const plugins = await pluginsOf(stage, catalog);
      return { ...stage, codeDigest: note(stage.codeDigest, await codeDigestOf(plugins), plugins) };
    }),
  );
  const used = new Set(plan.stages.flatMap(({ name, trainers }) => (done.has(name) ? [] : trainers)));
  const trainers = await Promise.all(
    Object.entries(plan.trainers).map(async ([name, trainer]) => {
      if (!used.has(name)) return [name, trainer] as const;
      const { plugin } = await catalog.trainer(trainer.uses);
      return [name, { ...trainer, codeDigest: note(trainer.codeDigest, await plugin.codeDigest(), [plugin]) }] as const;
    }),
  );
  const names = [...changed].toSorted();
  const which = names.length === 1 ? `the plugin ${names[0]}` : `one of the plugins ${names.join(', ')}`;
  return {
    plan: { ...plan, stages, trainers: Object.fromEntries(trainers) },
    changes:
      names.length === 0
        ? []
        : [`The code of ${which} has changed since the run began: what is left to do goes by the new code.`],
  };
}

/**
 * Names of the plugins, of those whose code makes a stage's outputs, that were changed since the plan was made and may have
 * been started since: what they made may be that of the new code, and the stage's key is that of the old one.
 */
export async function changedSincePlanned(
  stage: PlannedStage,
  plan: Plan,
  catalog: PluginCatalog,
): Promise<readonly string[]> {
  const trainers = await Promise.all(stage.trainers.map((name) => catalog.trainer(plan.trainers[name]!.uses)));
  const plugins = new Set([...(await pluginsOf(stage, catalog)), ...trainers.map(({ plugin }) => plugin)]);
  const names = [...plugins].map(async (plugin) => ((await plugin.isChanged?.()) ? [plugin.definition.name] : []));
  return (await Promise.all(names)).flat();
}

/** The plugins whose code makes a stage's outputs: its own, and those of the graders that its options name. */
async function pluginsOf(stage: PlannedStage, catalog: PluginCatalog): Promise<readonly LoadedPlugin[]> {
  const { plugin } = await catalog.stage(stage.uses);
  const graders = await gradersOf(stage, catalog);
  const found = await Promise.all(graders.map(({ uses }) => catalog.grader(uses)));
  return [plugin, ...found.map((grader) => grader.plugin)];
}
