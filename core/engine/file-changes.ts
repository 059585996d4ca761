import { descend, mapOptions } from '../document/option-schema.js';
import { type Path, pathKey, valueAt } from '../document/path.js';
import { UserError } from '../errors.js';
import { namedDigest } from '../recipe/content-digest.js';
import type { Plan, PlannedStage } from '../recipe/plan.js';

/** What of a stage or a trainer names files, and what they held. */
type PlannedOptions = Pick<PlannedStage, 'options' | 'semanticOptions'>;

/**
 * An earlier plan with the digests of the files that are there now: what still has to run is keyed by what it will read.
 *
 * @param done names of stages whose outputs are there; these keep theirs
 * @returns the changes as sentences, for the log
 */
export async function withPresentFiles(
  plan: Plan,
  done: ReadonlySet<string>,
): Promise<{ readonly plan: Plan; readonly changes: readonly string[] }> {
  const changed = new Set<string>();
  const present = async <Planned extends PlannedOptions>(planned: Planned): Promise<Planned> => {
    const digests = new Map<string, string>();
    for (const { path, name } of filesOf(planned)) {
      // Of one that is gone, or cannot be read, the stage itself tells.
      const sha256 = await namedDigest(name, plan.recipeFolder).catch(() => undefined);
      if (sha256 === undefined || sha256 === valueAt(planned.semanticOptions, [...path, 'sha256'])) continue;
      changed.add(name);
      digests.set(pathKey(path), sha256);
    }
    const semanticOptions = mapOptions(undefined, planned.semanticOptions, (_, __, path) => {
      const sha256 = digests.get(pathKey(path));
      return sha256 === undefined ? descend : { sha256 };
    });
    return { ...planned, semanticOptions };
  };
  const stages: PlannedStage[] = [];
  for (const stage of plan.stages) stages.push(done.has(stage.name) ? stage : await present(stage));
  const used = new Set(plan.stages.flatMap(({ name, trainers }) => (done.has(name) ? [] : trainers)));
  const trainers = { ...plan.trainers };
  for (const [name, trainer] of Object.entries(trainers)) if (used.has(name)) trainers[name] = await present(trainer);
  const changes = [...changed].map(
    (name) => `${name} has changed since the run began: what is left to do goes by what is there now.`,
  );
  return { plan: { ...plan, stages, trainers }, changes };
}

/**
 * Names of the files of a stage, and of its trainers, that hold other bytes than when they were planned. Of a file that is
 * gone, or cannot be read, the stage itself tells.
 */
export async function filesChangedSincePlanned(stage: PlannedStage, plan: Plan): Promise<readonly string[]> {
  const changed = new Set<string>();
  for (const planned of [stage, ...stage.trainers.map((name) => plan.trainers[name]!)]) {
    for (const { path, name } of filesOf(planned)) {
      const sha256 = await namedDigest(name, plan.recipeFolder).catch(() => undefined);
      if (sha256 !== undefined && sha256 !== valueAt(planned.semanticOptions, [...path, 'sha256'])) changed.add(name);
    }
  }
  return [...changed];
}

/**
 * Under its key nothing is to be kept that a stage makes of other bytes.
 * @throws UserError `file_changed`
 */
export async function requirePlannedFiles(stage: PlannedStage, plan: Plan): Promise<void> {
  const [name] = await filesChangedSincePlanned(stage, plan);
  if (name === undefined) return;
  throw new UserError('file_changed', `${name} has changed since the stage was planned.`, {
    kind: 'runFailed',
    hint: 'Resume the run when nothing writes there any more: what is left to do goes by what is there then.',
  });
}

/** Those of the key, also of its graders: where the options have a name, the semantic ones have a digest. */
function filesOf({
  options,
  semanticOptions,
}: PlannedOptions): readonly { readonly path: Path; readonly name: string }[] {
  const files: { readonly path: Path; readonly name: string }[] = [];
  mapOptions(undefined, semanticOptions, (_, value, path) => {
    const name = valueAt(options, path);
    if (typeof name === 'string' && typeof value === 'object') files.push({ path, name });
    return descend;
  });
  return files;
}
