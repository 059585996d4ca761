import { pathSettings, type Settings } from '../config/settings.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { present } from '../present.js';
import { guardedAnswer } from '../recipe/checked-options.js';
import type { Plan, PlannedStage, PlannedTrainer } from '../recipe/plan.js';

/** What `--python` names, or named when the run was taken up before. */
export function namedPython({ sources, python }: Settings, before: string | undefined): string | undefined {
  return sources.python === pathSettings.python.flag ? python : before;
}

/** Where trainers are asked for their versions. */
interface VersionPlace {
  readonly catalog: PluginCatalog;
  readonly settings: Settings;
  /** @see namedPython */
  readonly namedPython: string | undefined;
}

/**
 * An earlier plan with the versions that its trainers have now: what still has to run is keyed by what will make it.
 *
 * @param done names of stages whose outputs are there; trainers that no other stage uses keep theirs
 * @returns the changes as sentences, for the log
 */
export async function withPresentVersions(
  plan: Plan,
  place: VersionPlace,
  done: ReadonlySet<string>,
): Promise<{ readonly plan: Plan; readonly changes: readonly string[] }> {
  const used = new Set(plan.stages.flatMap(({ name, trainers }) => (done.has(name) ? [] : trainers)));
  const trainers = { ...plan.trainers };
  const changes: string[] = [];
  for (const [name, trainer] of Object.entries(plan.trainers)) {
    if (!used.has(name)) continue;
    const relevantVersions = await presentVersions(trainer, plan, place);
    const changed = differences(trainer.relevantVersions, relevantVersions);
    if (changed.length === 0) continue;
    trainers[name] = { ...trainer, relevantVersions };
    changes.push(
      `What the trainer "${name}" runs with has changed since the run began (${changed.join(', ')}): what is left to do ` +
        'goes by what is there now.',
    );
  }
  return { plan: { ...plan, trainers }, changes };
}

/** Names of a stage's trainers whose versions are not those of its key any more, or cannot be read. */
export async function versionsChangedSincePlanned(
  stage: PlannedStage,
  plan: Plan,
  place: VersionPlace,
): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const name of stage.trainers) {
    const trainer = plan.trainers[name]!;
    const versions = await presentVersions(trainer, plan, place).catch(() => undefined);
    if (versions === undefined || differences(trainer.relevantVersions, versions).length > 0) changed.push(name);
  }
  return changed;
}

async function presentVersions(
  { uses, options }: PlannedTrainer,
  { recipeFolder }: Plan,
  { catalog, settings, namedPython: named }: VersionPlace,
): Promise<Readonly<Record<string, string>>> {
  const { definition } = await catalog.trainer(uses);
  const where = { recipeFolder, cacheFolder: settings.cacheFolder, ...present({ python: named ?? settings.python }) };
  return guardedAnswer(uses, () => definition.relevantVersions(options, where), 'its versions were read');
}

function differences(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return names.flatMap((name) =>
    before[name] === after[name] ? [] : [`${name}: ${before[name] ?? 'none'}, now ${after[name] ?? 'none'}`],
  );
}
