import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { jsonDigest } from '../document/canonical-json.js';
import { isUserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import { readEvents } from '../events/replay.js';
import { present } from '../present.js';
import type { Plan } from '../recipe/plan.js';
import { eventsFile, readPlan, runIdBeginning, runIds } from './run-folder.js';

/** How long a stage took when it was last done. */
export interface LastTime {
  readonly seconds: number;
  readonly runId: string;
  /**
   * Whether it had the same to do: it, its trainers and all stages before it had the same options. Data that changed since is
   * not seen.
   */
  readonly isSameWork: boolean;
  /** What the command line had changed in the recipe of that run, in its words, where the work was another. */
  readonly changes?: readonly string[];
}

/** A log is read to its end: more of them would hold a plan up. Of the last runs, and of those that had the same to do. */
const mostRuns = 3;
/** Whose plans are looked at, to find the latter. */
const mostPlans = 30;

interface EarlierRun {
  readonly runId: string;
  readonly changes?: readonly string[];
  /** Of the stages that are looked for, those that had the same to do. */
  readonly same: ReadonlySet<string>;
}

/**
 * How long stages of a recipe took in its last runs, by name: where they had the same `uses`, and were done at the first
 * attempt. Of a stage that had the same to do before, it is the last such time; of any other, the last with other options.
 * @param names of the stages that are looked for
 */
export async function lastTimes(
  plan: Plan,
  names: readonly string[],
  store: ArtifactStore,
): Promise<ReadonlyMap<string, LastTime>> {
  const usesOf = new Map(plan.stages.flatMap(({ name, uses }) => (names.includes(name) ? [[name, uses]] : [])));
  const runs = usesOf.size === 0 ? [] : await earlierRuns(plan, [...usesOf.keys()], store);
  const done: (LastTime & { readonly stage: string; readonly time: string })[] = [];
  for (const { runId, changes, same } of logsToRead(runs)) {
    for (const { stage, data, time } of await doneIn(store.runFolder(runId), usesOf)) {
      const isSameWork = same.has(stage);
      const told = isSameWork || changes === undefined ? {} : { changes };
      done.push({ stage, time, seconds: data.seconds, runId, isSameWork, ...told });
    }
  }
  const worstFirst = done.toSorted((one, other) =>
    one.isSameWork === other.isSameWork ? (one.time < other.time ? -1 : 1) : other.isSameWork ? -1 : 1,
  );
  return new Map(worstFirst.map(({ stage, time: _, ...last }) => [stage, last]));
}

/** Of the last runs, and of the last ones that had the same to do. */
function logsToRead(runs: readonly EarlierRun[]): readonly EarlierRun[] {
  const same = runs.filter((run) => run.same.size > 0).slice(0, mostRuns);
  return [...new Set([...runs.slice(0, mostRuns), ...same])];
}

/** What each stage has to do, in short: its options and those of its trainers, and what the stages before it have to do. */
function workOf(plan: Plan): ReadonlyMap<string, string> {
  const work = new Map<string, string>();
  // In an order that runs: what a stage takes comes before it.
  for (const { name, uses, options, inputs, trainers } of plan.stages) {
    const ofTrainers = trainers.map((trainer) => {
      const planned = plan.trainers[trainer];
      return planned === undefined ? null : { uses: planned.uses, options: planned.options };
    });
    const before = Object.entries(inputs).map(([input, references]) => [
      input,
      [references].flat().map(({ stage, output }) => [work.get(stage) ?? null, output]),
    ]);
    work.set(name, jsonDigest({ uses, options, trainers: ofTrainers, inputs: Object.fromEntries(before) }));
  }
  return work;
}

type StageDone = Extract<Event, { readonly type: 'stage.completed' }> & { readonly stage: string };

/** The newest first: by their ids, whose first difference is the time, to the second. */
async function earlierRuns(plan: Plan, names: readonly string[], store: ArtifactStore): Promise<readonly EarlierRun[]> {
  const ids = (await runIds(store.runsFolder)).filter((id) => id.startsWith(runIdBeginning(plan.recipe)));
  const work = workOf(plan);
  const found: EarlierRun[] = [];
  for (const runId of ids.toSorted().toReversed().slice(0, mostPlans)) {
    const earlier = await readPlan(store.runFolder(runId)).catch(unlessDamaged);
    if (earlier?.recipe !== plan.recipe || earlier.inspects !== undefined) continue;
    const workThen = workOf(earlier);
    const same = new Set(names.filter((name) => workThen.get(name) === work.get(name)));
    found.push({ runId, same, ...present({ changes: earlier.changes }) });
  }
  return found;
}

async function doneIn(runFolder: string, usesOf: ReadonlyMap<string, string>): Promise<readonly StageDone[]> {
  const done: StageDone[] = [];
  try {
    for await (const event of readEvents(eventsFile(runFolder), { isBrief: true })) {
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
