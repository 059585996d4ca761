import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isUserError } from '../errors.js';
import { readLogEdges } from '../events/log-edges.js';
import { logFormat } from '../events/log-scanner.js';
import { readEvents } from '../events/replay.js';
import { isMissing } from '../files/unless-missing.js';
import { present } from '../present.js';
import { readRunOwner } from '../process/run-lock.js';
import { eventsFile, readPlan } from './run-folder.js';
import type { RunSummary } from './run-outcome.js';
import { foldRunState, initialRunState, isDone, type RunState } from './run-state.js';

/** The state of a run, as its log tells it in brief: how long steps took at most is not known of all of them. */
export async function readRunState(runFolder: string): Promise<RunState> {
  let state = initialRunState;
  for await (const event of readEvents(eventsFile(runFolder), { isBrief: true })) state = foldRunState(state, event);
  return state;
}

/** A run in one line; undefined where the folder is no run. */
export async function summarizeRun(runFolder: string): Promise<RunSummary | undefined> {
  const completed = await completedRun(runFolder);
  if (completed !== undefined) return completed;
  const wasHeld = await isHeld(runFolder);
  let state: RunState;
  try {
    state = await readRunState(runFolder);
  } catch (error) {
    if (isLogAbsent(error)) return undefined;
    throw error;
  }
  return state.runId === '' ? undefined : summaryOf(state, runFolder, wasHeld, await readPlanned(runFolder));
}

/**
 * A run that completed, by the first and the last line of its log: a home has thousands, and their logs are long.
 * Undefined where it did not, or where only the whole log tells.
 */
export async function completedRun(runFolder: string): Promise<RunSummary | undefined> {
  const { first, last } = (await readLogEdges(eventsFile(runFolder))) ?? {};
  if (first?.type !== 'run.created' || first.data.format > logFormat || last?.type !== 'run.completed')
    return undefined;
  const { stagesTotal, ...planned } = await readPlanned(runFolder);
  return {
    runId: first.runId,
    recipe: first.data.recipe,
    ...planned,
    status: 'completed',
    startedAt: first.time,
    endedAt: last.time,
    lastEventAt: last.time,
    runFolder,
    events: last.sequence,
    stagesDone: stagesTotal,
    stagesTotal,
  };
}

/**
 * Whether a folder that was read as a run has no log, by what was thrown. A log that is there and cannot be opened is that
 * of a run, whose artifacts nobody else may take for nobody's.
 */
export function isLogAbsent(error: unknown): boolean {
  return isUserError(error) && error.code === 'log_missing' && isMissing(error.cause);
}

/** Whether a process writes a run, as far as can be told: one on another host may be gone. */
export async function isHeld(runFolder: string): Promise<boolean> {
  return (await readRunOwner(runFolder))?.alive === true;
}

/** What a run's plan says of it in one line; it stays as it is. */
export type Planned = Pick<RunSummary, 'changes' | 'inspects' | 'stagesTotal'>;

/** @throws UserError as `readPlan` */
export async function readPlanned(runFolder: string): Promise<Planned> {
  const { changes, inspects, stages } = await readPlan(runFolder);
  return { ...present({ changes, inspects }), stagesTotal: stages.length };
}

/** As `summarizeRun`, of a log and plan that are read already. @param wasHeld when its log began to be read */
export async function summaryOf(
  state: RunState,
  runFolder: string,
  wasHeld: boolean,
  { stagesTotal, ...planned }: Planned,
): Promise<RunSummary> {
  return {
    runId: state.runId,
    recipe: state.recipe,
    ...planned,
    status: await statusOf(state, runFolder, wasHeld),
    startedAt: state.createdAt,
    ...(state.endedAt === undefined ? {} : { endedAt: state.endedAt }),
    lastEventAt: state.lastEventAt,
    runFolder,
    events: state.events,
    stagesDone: Object.values(state.stages).filter(isDone).length,
    stagesTotal,
  };
}

/** A run whose log or plan cannot be read, as far as the rest of its folder tells of it; undefined where nothing does. */
export async function unreadableRun(runFolder: string): Promise<RunSummary | undefined> {
  try {
    const [plan, written] = await Promise.all([readPlan(runFolder), stat(join(runFolder, 'recipe.yaml'))]);
    return {
      runId: basename(runFolder),
      recipe: plan.recipe,
      ...present({ changes: plan.changes, inspects: plan.inspects }),
      status: 'crashed',
      startedAt: written.mtime.toISOString(),
      runFolder,
      events: 0,
      stagesDone: 0,
      stagesTotal: plan.stages.length,
    };
  } catch {
    const state = await readRunState(runFolder).catch(() => undefined);
    if (state === undefined || state.runId === '') return undefined;
    return summaryOf(state, runFolder, false, { stagesTotal: Object.keys(state.stages).length });
  }
}

async function statusOf(state: RunState, runFolder: string, wasHeld: boolean): Promise<RunSummary['status']> {
  if (state.status !== 'running' && state.status !== 'created') return state.status;
  // One that was let go since has written its end, too, after what was read of it; one that is taken up now has begun.
  return wasHeld || (await isHeld(runFolder)) ? 'running' : 'crashed';
}
