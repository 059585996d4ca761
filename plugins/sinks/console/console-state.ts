import {
  type ErrorRecord,
  type Event,
  type EventData,
  type MeasuredFigures,
  type PlannedStage,
  withFigure,
} from 'simmerkit';
import { noSpending, type WatchedSpending } from './spending-text.js';

export type StageStatus = 'waiting' | 'running' | 'completed' | 'reused' | 'failed' | 'interrupted';

/** How many points of the loss curve are kept: more than any terminal is wide. */
const lossPointsKept = 256;
/** So few done give no pace, where they are less than a tenth of all. */
const fewOfMany = 10;

/** A stage, as far as people watch it. */
export interface WatchedStage {
  readonly name: string;
  readonly uses: string;
  readonly status: StageStatus;
  /** Epoch milliseconds. */
  readonly startedAt?: number;
  readonly seconds?: number;
  readonly peakMemoryBytes?: number;
  readonly progress?: EventData['stage.progressed'];
  readonly training?: EventData['training.started'];
  readonly step?: EventData['step.logged'];
  /** When the first and the last step of this attempt came: the pace, from which the time left follows. */
  readonly pace?: { readonly firstStep: number; readonly firstAt: number; readonly lastAt: number };
  /** Loss by step, thinned to at most `lossPointsKept` points over the whole training. */
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
  readonly checkpointStep?: number;
  /** What came of its curation steps: rows in of the first, rows out of the last. */
  readonly rows?: { readonly in: number; readonly out: number };
  /** The last line that it logged for people, and when. */
  readonly message?: TimedMessage;
}

interface TimedMessage {
  readonly text: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** All that the console shows, folded from events. */
export interface ConsoleState {
  readonly runId: string;
  readonly recipe: string;
  readonly status: 'starting' | 'running' | 'completed' | 'failed' | 'interrupted';
  readonly resumed: boolean;
  /** When a core last took the run up; epoch milliseconds. */
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly lastEventAt?: number;
  /** Seconds that former cores spent on the run. */
  readonly earlierSeconds: number;
  /** In the order of the plan; a stage that the plan does not name comes last. */
  readonly stages: ReadonlyMap<string, WatchedStage>;
  readonly figures: MeasuredFigures;
  readonly spending: WatchedSpending;
  /** The last line that was logged outside of any stage, and when. */
  readonly message?: TimedMessage;
  readonly failure?: { readonly error: ErrorRecord; readonly stage?: string };
  readonly reason?: string;
  /** Where a limit of the run's own stopped it: which. */
  readonly limit?: ErrorRecord;
  readonly reportPath?: string;
}

/** The state before the first event; `plan` gives the stages that are still to come. */
export function initialState(plan?: {
  readonly recipe: string;
  readonly stages: readonly Pick<PlannedStage, 'name' | 'uses'>[];
}): ConsoleState {
  const stages = new Map<string, WatchedStage>();
  for (const { name, uses } of plan?.stages ?? []) stages.set(name, { name, uses, status: 'waiting', losses: [] });
  return {
    runId: '',
    recipe: plan?.recipe ?? '',
    status: 'starting',
    resumed: false,
    earlierSeconds: 0,
    stages,
    figures: {},
    spending: noSpending,
  };
}

/** The state after one more event. Pure; events and fields that it does not know change nothing. */
export function foldEvent(before: ConsoleState, event: Event): ConsoleState {
  const time = Date.parse(event.time);
  const state = { ...foldRun(before, event, time), runId: event.runId, lastEventAt: time };
  if (event.stage === undefined) {
    return event.type === 'log.written' && event.data.level === 'info'
      ? { ...state, message: { text: event.data.message, at: time } }
      : state;
  }
  const known = state.stages.get(event.stage) ?? { name: event.stage, uses: '', status: 'waiting', losses: [] };
  const stage = foldStage(known, event, time);
  return stage === known ? state : { ...state, stages: new Map(state.stages).set(stage.name, stage) };
}

/**
 * What time it is in a view: of the clock, unless that was set back since the last event.
 * @param sinceEvent milliseconds since the view was given the last event, by a clock that nobody sets
 */
export function viewTime({ lastEventAt = 0 }: ConsoleState, day: number, sinceEvent: number): number {
  return Math.max(day, lastEventAt + sinceEvent);
}

/** Seconds that were spent on the run up to `now`, without the pauses between an end and a resume. */
export function elapsedSeconds(state: ConsoleState, now: number): number {
  if (state.startedAt === undefined) return state.earlierSeconds;
  return state.earlierSeconds + Math.max(0, (state.endedAt ?? now) - state.startedAt) / 1000;
}

/** Seconds until the stage is done, at its own word or at the pace of its steps; undefined where nobody can know. */
export function secondsLeft(stage: WatchedStage, now: number): number | undefined {
  const { step, pace, progress } = stage;
  if (step !== undefined && pace !== undefined && step.step > pace.firstStep) {
    const secondsAStep = (pace.lastAt - pace.firstAt) / 1000 / (step.step - pace.firstStep);
    return Math.max(0, (step.totalSteps - step.step) * secondsAStep - Math.max(0, now - pace.lastAt) / 1000);
  }
  // The first of many says more of how long it took to begin.
  if (progress === undefined || progress.done < Math.min(fewOfMany, (progress.total ?? 0) / 10)) return undefined;
  return progress.secondsLeft;
}

function foldRun(state: ConsoleState, event: Event, time: number): ConsoleState {
  switch (event.type) {
    case 'run.created':
      return { ...state, recipe: event.data.recipe };
    case 'run.started': {
      // A core that was killed wrote no last event: its time ends at the last thing that it said.
      const { endedAt, startedAt, failure, reason, limit, reportPath, ...rest } = state;
      const earlier = startedAt === undefined ? 0 : ((endedAt ?? state.lastEventAt ?? time) - startedAt) / 1000;
      return {
        ...rest,
        status: 'running',
        resumed: event.data.resumed,
        startedAt: time,
        earlierSeconds: state.earlierSeconds + Math.max(0, earlier),
        stages: new Map([...state.stages].map(([name, stage]) => [name, stoppedByKill(stage)])),
      };
    }
    case 'run.completed':
      return {
        ...state,
        status: 'completed',
        endedAt: time,
        ...(event.data.reportPath === null ? {} : { reportPath: event.data.reportPath }),
      };
    case 'run.failed':
      return { ...state, status: 'failed', endedAt: time, failure: event.data };
    case 'run.interrupted':
      return {
        ...state,
        status: 'interrupted',
        endedAt: time,
        reason: event.data.reason,
        ...(event.data.error === undefined ? {} : { limit: event.data.error }),
      };
    case 'budget.set':
      return { ...state, spending: { ...state.spending, limits: event.data } };
    case 'budget.spent':
      return { ...state, spending: { ...state.spending, total: event.data.total } };
    case 'metric.measured':
      return { ...state, figures: withFigure(state.figures, event) };
    default:
      return state;
  }
}

function foldStage(stage: WatchedStage, event: Event, time: number): WatchedStage {
  switch (event.type) {
    case 'stage.started':
      return {
        name: stage.name,
        uses: event.data.uses,
        status: 'running',
        startedAt: time,
        losses: stage.losses,
        ...(stage.checkpointStep === undefined ? {} : { checkpointStep: stage.checkpointStep }),
      };
    case 'stage.reused':
      return { ...stage, uses: event.data.uses, status: 'reused' };
    case 'stage.completed':
      return {
        ...stage,
        status: 'completed',
        seconds: event.data.seconds,
        peakMemoryBytes: event.data.peakMemoryBytes,
      };
    case 'stage.failed':
      return { ...stage, status: 'failed', ...ended(stage, time) };
    case 'stage.interrupted':
      return { ...stage, status: 'interrupted', ...ended(stage, time) };
    case 'stage.progressed':
      return { ...stage, progress: event.data };
    case 'environment.prepared':
      return withoutProgress(stage);
    case 'funnel.counted':
      return { ...stage, rows: { in: stage.rows?.in ?? event.data.rowsIn, out: event.data.rowsOut } };
    case 'training.started':
      return { ...withoutMessage(withoutPace(stage)), training: event.data };
    case 'step.logged':
      return withStep(stage, event.data, time);
    case 'checkpoint.saved':
      return { ...stage, checkpointStep: event.data.step };
    case 'log.written':
      return event.data.level === 'info' ? { ...stage, message: { text: event.data.message, at: time } } : stage;
    default:
      return stage;
  }
}

/** The packages of an environment are nothing that the stage makes. */
function withoutProgress(stage: WatchedStage): WatchedStage {
  const { progress, ...rest } = stage;
  return rest;
}

function ended(stage: WatchedStage, time: number): { readonly seconds?: number } {
  return stage.startedAt === undefined ? {} : { seconds: Math.max(0, time - stage.startedAt) / 1000 };
}

function stoppedByKill(stage: WatchedStage): WatchedStage {
  return stage.status === 'running' ? { ...stage, status: 'interrupted' } : stage;
}

/** What was said on the way to the first step is over with it. */
function withoutMessage(stage: WatchedStage): WatchedStage {
  const { message, ...rest } = stage;
  return rest;
}

/** Training that starts again, after a kill or from a checkpoint, has a pace of its own. */
function withoutPace(stage: WatchedStage): WatchedStage {
  const { pace, ...rest } = stage;
  return rest;
}

function withStep(stage: WatchedStage, step: EventData['step.logged'], time: number): WatchedStage {
  const pace = { firstStep: step.step, firstAt: time, ...stage.pace, lastAt: time };
  if (step.loss === null) return { ...stage, step, pace };
  // Steps that run again take the place of those they repeat.
  const before = stage.losses.at(-1);
  const kept =
    before === undefined || before.step < step.step
      ? stage.losses
      : stage.losses.filter((point) => point.step < step.step);
  const losses = [...kept, { step: step.step, loss: step.loss }];
  return { ...stage, step, pace, losses: losses.length <= lossPointsKept ? losses : thinned(losses) };
}

/** Every second point, and the last. */
function thinned<T>(points: readonly T[]): readonly T[] {
  return points.filter((_, index) => index % 2 === 0 || index === points.length - 1);
}
