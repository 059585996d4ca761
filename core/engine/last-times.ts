import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { isUserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import { readEvents } from '../events/replay.js';
import type { Plan } from '../recipe/plan.js';
import { eventsFile, readPlan, runIdBeginning, runIds } from './run-folder.js';

/** How long a stage took when it was last done. */
export interface LastTime {
  readonly seconds: number;
  readonly runId: string;
}

/** A log is read to its end: more of them would hold a plan up. */
const mostRuns = 3;

/**
 * How long stages of a recipe took in its last runs, by name: where they had the same `uses`, with whichever options, and
 * were done at the first attempt.
 * @param names of the stages that are looked for
 */
export async function lastTimes(
  plan: Plan,
  names: readonly string[],
  store: ArtifactStore,
): Promise<ReadonlyMap<string, LastTime>> {
  const usesOf = new Map(plan.stages.flatMap(({ name, uses }) => (names.includes(name) ? [[name, uses]] : [])));
  const done: StageDone[] = [];
  for (const runId of usesOf.size === 0 ? [] : await lastRuns(plan.recipe, store)) {
    done.push(...(await doneIn(store.runFolder(runId), usesOf)));
  }
  const byTime = done.toSorted((one, other) => (one.time < other.time ? -1 : 1));
  return new Map(byTime.map(({ stage, data, runId }) => [stage, { seconds: data.seconds, runId }]));
}

type StageDone = Extract<Event, { readonly type: 'stage.completed' }> & { readonly stage: string };

/** By their ids, whose first difference is the time, to the second. */
async function lastRuns(recipe: string, store: ArtifactStore): Promise<readonly string[]> {
  const ids = (await runIds(store.runsFolder)).filter((id) => id.startsWith(runIdBeginning(recipe)));
  const found: string[] = [];
  for (const id of ids.toSorted().toReversed()) {
    const plan = await readPlan(store.runFolder(id)).catch(unlessDamaged);
    if (plan?.recipe === recipe && plan.inspects === undefined) found.push(id);
    if (found.length === mostRuns) break;
  }
  return found;
}

async function doneIn(runFolder: string, usesOf: ReadonlyMap<string, string>): Promise<readonly StageDone[]> {
  const done: StageDone[] = [];
  try {
    for await (const event of readEvents(eventsFile(runFolder))) {
      const { stage = '' } = event;
      if (event.type !== 'stage.completed' || event.attempt !== 1) continue;
      if (usesOf.get(stage) === event.data.uses) done.push({ ...event, stage });
    }
  } catch (error) {
    unlessDamaged(error);
  }
  return done;
}

/** A run that cannot be read tells nothing, and hides no other. */
function unlessDamaged(error: unknown): undefined {
  if (!isUserError(error)) throw error;
}
