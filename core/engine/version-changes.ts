import { pathSettings, type Settings } from '../config/settings.js';
import { canonicalJson } from '../document/canonical-json.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { VersionsContext } from '../plugin/definitions.js';
import { present } from '../present.js';
import { guardedAnswer } from '../recipe/checked-options.js';
import { graderVersions } from '../recipe/grader-versions.js';
import type { Plan, PlannedStage, PlannedTrainer } from '../recipe/plan.js';

/** What `--python` names, or named when the run was taken up before. */
export function namedPython({ sources, python }: Settings, before: string | undefined): string | undefined {
  return sources.python === pathSettings.python.flag ? python : before;
}

/** Where trainers and graders are asked for their versions. */
interface VersionPlace {
  readonly catalog: PluginCatalog;
  readonly settings: Settings;
  /** @see namedPython */
  readonly namedPython: string | undefined;
}

/**
 * An earlier plan with the versions that its trainers and graders have now: what still has to run is keyed by what will
 * make it.
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
  const stages: PlannedStage[] = [];
  const graders = new Set<string>();
  for (const stage of plan.stages) {
    if (done.has(stage.name)) {
      stages.push(stage);
      continue;
    }
    const present = await presentGraders(stage, plan, place);
    const { graderVersions: _, ...others } = stage;
    stages.push(present.graderVersions === undefined ? others : { ...stage, ...present });
    for (const uses of gradersChanged(stage, present)) graders.add(uses);
  }
  for (const uses of graders) {
    changes.push(
      `What the grader ${uses} runs with has changed since the run began: what is left to do goes by what is there now.`,
    );
  }
  return { plan: { ...plan, stages, trainers }, changes };
}

/** What of a stage's trainers and graders is not as its key has it any more, or cannot be read: as subjects of a sentence. */
export async function versionsChangedSincePlanned(
  stage: PlannedStage,
  plan: Plan,
  place: VersionPlace,
): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const name of stage.trainers) {
    const trainer = plan.trainers[name]!;
    const versions = await presentVersions(trainer, plan, place).catch(() => undefined);
    const isSame = versions !== undefined && differences(trainer.relevantVersions, versions).length === 0;
    if (!isSame) changed.push(`What the trainer "${name}" runs with`);
  }
  const graders = gradersChanged(stage, await presentGraders(stage, plan, place).catch(() => ({})));
  return [...changed, ...graders.map((uses) => `What the grader ${uses} runs with`)];
}

type GraderVersions = Pick<PlannedStage, 'graderVersions'>;

function presentGraders(stage: PlannedStage, plan: Plan, place: VersionPlace): Promise<GraderVersions> {
  return graderVersions(stage, place.catalog, contextIn(plan, place));
}

/** Names of the graders, `plugin/grader`, that run with other versions than before. */
function gradersChanged({ graderVersions: before = [] }: GraderVersions, after: GraderVersions): readonly string[] {
  const { graderVersions: now = [] } = after;
  const of = (versions: typeof before, uses: string) => canonicalJson(versions.filter((each) => each.uses === uses));
  const names = [...new Set([...before, ...now].map(({ uses }) => uses))];
  return names.filter((uses) => of(before, uses) !== of(now, uses));
}

async function presentVersions(
  { uses, options }: PlannedTrainer,
  plan: Plan,
  place: VersionPlace,
): Promise<Readonly<Record<string, string>>> {
  const { definition } = await place.catalog.trainer(uses);
  const where = contextIn(plan, place);
  return guardedAnswer(uses, () => definition.relevantVersions(options, where), 'its versions were read');
}

function contextIn({ recipeFolder }: Plan, { settings, namedPython: named }: VersionPlace): VersionsContext {
  return { recipeFolder, cacheFolder: settings.cacheFolder, ...present({ python: named ?? settings.python }) };
}

function differences(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return names.flatMap((name) =>
    before[name] === after[name] ? [] : [`${name}: ${before[name] ?? 'none'}, now ${after[name] ?? 'none'}`],
  );
}
