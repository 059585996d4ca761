import type { Event, EventData } from '../events/catalogue.js';
import { type MeasuredFigures, withFigure } from '../metrics/measured-figures.js';
import { present } from '../present.js';
import { foldSpending, initialSpending, type SpendingState, secondsBetween } from './spending/spending-state.js';

type RunStatus = 'created' | 'running' | 'completed' | 'failed' | 'interrupted';
type StageStatus = 'running' | 'completed' | 'reused' | 'failed' | 'interrupted';

/** A stage as the log tells it. A stage that nothing was said of yet is not in the state. */
interface StageState {
  readonly status: StageStatus;
  readonly key: string;
  /** The highest attempt that the log speaks of, from 1. */
  readonly attempt: number;
  /** Output name to artifact URI; only where completed or reused. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** All that a run's log says, in small: it does not grow with the number of steps. */
export interface RunState {
  readonly runId: string;
  readonly status: RunStatus;
  readonly recipe: string;
  readonly createdAt: string;
  readonly endedAt?: string;
  /** Time that cores spent on it, without the pauses between an interruption and a resume. */
  readonly activeSeconds: number;
  /** Sequence of the last event: as many as there are. */
  readonly events: number;
  readonly lastEventAt: string;
  readonly stages: Readonly<Record<string, StageState>>;
  readonly figures: MeasuredFigures;
  readonly spending: SpendingState;
  /** What `--python` named when a core took the run up. */
  readonly python?: string;
  /** Of a run that completed. */
  readonly completed?: EventData['run.completed'];
}

export const initialRunState: RunState = {
  runId: '',
  status: 'created',
  recipe: '',
  createdAt: '',
  activeSeconds: 0,
  events: 0,
  lastEventAt: '',
  stages: {},
  figures: {},
  spending: initialSpending,
};

/** The state after one more event. Pure; events go in by their sequence. Types that this version does not know are passed over. */
export function foldRunState(before: RunState, event: Event): RunState {
  const state = { ...observeTime(before, event), spending: foldSpending(before.spending, event, before.lastEventAt) };
  switch (event.type) {
    case 'run.created':
      return { ...state, runId: event.runId, recipe: event.data.recipe, createdAt: event.time };
    case 'run.started':
      return { ...taken(state), ...present({ python: event.data.python }) };
    case 'run.completed':
      return { ...state, status: 'completed', endedAt: event.time, completed: event.data };
    case 'run.failed':
      return { ...state, status: 'failed', endedAt: event.time };
    case 'run.interrupted':
      return { ...state, status: 'interrupted', endedAt: event.time };

    case 'stage.started':
      return withStage(state, event, () => ({ ...unknownStage, key: event.data.key }));
    case 'stage.reused':
    case 'stage.completed': {
      const { key, outputs } = event.data;
      const status = event.type === 'stage.reused' ? 'reused' : 'completed';
      return withStage(state, event, (stage) => ({ ...stage, status, key, outputs }));
    }
    case 'stage.failed':
      return withStage(state, event, (stage) => ({ ...stage, status: 'failed' }));
    case 'stage.interrupted':
      return withStage(state, event, (stage) => ({ ...stage, status: 'interrupted' }));

    case 'metric.measured':
      return { ...state, figures: withFigure(state.figures, event) };

    case 'stage.progressed':
    case 'step.logged':
    case 'trainer.started':
    case 'trainer.attached':
    case 'trainer.exited':
    case 'funnel.counted':
    case 'artifact.committed':
    case 'environment.prepared':
    case 'trainer.described':
    case 'training.started':
    case 'evaluation.logged':
    case 'checkpoint.saved':
    case 'training.completed':
    case 'training.canceled':
    case 'training.failed':
    case 'step.diverged':
    case 'log.written':
    case 'sink.failed':
    case 'budget.set':
    case 'budget.reserved':
    case 'budget.spent':
    case 'hardware.held':
    case 'hardware.released':
      return state;
    default:
      event satisfies never;
      return state;
  }
}

/**
 * The state after several more events that follow each other. Of steps that came together only the first and the last
 * say something that the state keeps: between them no time passed, and of the others nothing is left.
 */
export function foldRunStates(before: RunState, events: readonly Event[]): RunState {
  let state = before;
  for (const [index, event] of events.entries()) {
    const isBetween = areStepsTogether(events[index - 1], event) && areStepsTogether(event, events[index + 1]);
    if (!isBetween) state = foldRunState(state, event);
  }
  return state;
}

function areStepsTogether(one: Event | undefined, next: Event | undefined): boolean {
  if (one?.type !== 'step.logged' || next?.type !== 'step.logged') return false;
  return one.stage === next.stage && one.attempt === next.attempt && one.time === next.time;
}

/** Whether the stage's outputs are there for others. */
export function isDone(stage: StageState | undefined): stage is StageState {
  return stage?.status === 'completed' || stage?.status === 'reused';
}

function observeTime(state: RunState, event: Event): RunState {
  const inSession = state.status === 'running' || event.type === 'run.completed';
  const passed = inSession && event.type !== 'run.started' ? secondsBetween(state.lastEventAt, event.time) : 0;
  return {
    ...state,
    events: event.sequence,
    lastEventAt: event.time,
    activeSeconds: state.activeSeconds + passed,
  };
}

/** A core took the run up: what an earlier core left running is running no longer, and how it ended is past. */
function taken(state: RunState): RunState {
  const { endedAt, completed, ...rest } = state;
  const stages = Object.fromEntries(
    Object.entries(state.stages).map(([name, stage]) => [
      name,
      stage.status === 'running' ? { ...stage, status: 'interrupted' as const } : stage,
    ]),
  );
  return { ...rest, status: 'running', stages };
}

/** A stage that is first heard of; one that is reused was never started. */
const unknownStage: StageState = { status: 'running', key: '', attempt: 1, outputs: {} };

function withStage(state: RunState, event: Event, change: (stage: StageState) => StageState): RunState {
  if (event.stage === undefined) return state;
  const before = state.stages[event.stage] ?? unknownStage;
  const attempt = Math.max(before.attempt, event.attempt ?? 1);
  return { ...state, stages: { ...state.stages, [event.stage]: { ...change(before), attempt } } };
}
