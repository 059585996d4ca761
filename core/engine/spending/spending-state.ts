import type { Event, EventData } from '../../events/catalogue.js';
import type { BudgetLimits } from '../../recipe/budget.js';

/** What one source has cost. */
interface SourceSpending {
  readonly usd: number;
  readonly gpuHours: number;
  /** Of hardware: for how long it was held. */
  readonly seconds: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Hardware that the log believes to be held. */
export interface Holding extends Omit<EventData['hardware.held'], 'holder'> {
  /** ISO 8601; what came before is in the sums. */
  readonly countedUntil: string;
}

/** How long what the guard keeps money back for took at most, in seconds; absent where it was not measured yet. */
export interface LongestTimes {
  readonly step?: number;
  readonly checkpoint?: number;
  readonly shutdown?: number;
}

/** What a run has spent over all of its attempts, as its log tells. */
export interface SpendingState {
  readonly usd: number;
  readonly gpuHours: number;
  readonly bySource: Readonly<Record<string, SourceSpending>>;
  /** Absent until they were said. */
  readonly limits?: BudgetLimits;
  /** The most that requests under way may cost; counts as spent where nobody was there to see what they did cost. */
  readonly reservedUsd: number;
  /** By holder. */
  readonly holdings: Readonly<Record<string, Holding>>;
  /** Stages that train, with the time and the step of the last thing that their training told. */
  readonly trainings: Readonly<Record<string, { readonly at: string; readonly step: number }>>;
  readonly longest: LongestTimes;
}

export const initialSpending: SpendingState = {
  usd: 0,
  gpuHours: 0,
  bySource: {},
  reservedUsd: 0,
  holdings: {},
  trainings: {},
  longest: {},
};

/** A core that counts hardware or time tells so every five seconds. Where it told nothing for so long, its machine slept. */
const sleepSeconds = 30;

/** Where the costs of requests go that nobody saw the end of. */
export const unseenRequests = 'requests under way at a kill';

/** The spending after one more event. Pure. @param lastEventAt when the one before it was told; empty of the first */
export function foldSpending(before: SpendingState, event: Event, lastEventAt: string): SpendingState {
  const state = withoutSleep(before, secondsBetween(lastEventAt, event.time));
  switch (event.type) {
    case 'run.started': {
      // What an earlier core had under way when it was killed may all have been billed.
      const unseen = state.reservedUsd === 0 ? state : added(state, unseenRequests, { usd: state.reservedUsd });
      return { ...unseen, reservedUsd: 0, trainings: {} };
    }
    case 'run.completed':
    case 'run.failed':
    case 'run.interrupted':
      return state.reservedUsd === 0 ? state : { ...state, reservedUsd: 0 };
    case 'budget.set':
      return { ...state, limits: event.data };
    case 'budget.reserved':
      return { ...state, reservedUsd: event.data.usd };
    case 'budget.spent':
      return countedUntil(added(state, event.data.source, event.data), event.data);
    case 'hardware.held': {
      const { holder, ...held } = event.data;
      return { ...state, holdings: { ...state.holdings, [holder]: { ...held, countedUntil: event.time } } };
    }
    case 'hardware.released': {
      const { [event.data.holder]: _, ...holdings } = state.holdings;
      return { ...state, holdings, longest: longer(state.longest, 'shutdown', event.data.stopSeconds) };
    }
    case 'training.started':
      return withTraining(state, event, event.data.resumedAfterStep);
    case 'step.logged':
      return afterWork(state, event, 'step', event.data.step - (state.trainings[event.stage ?? '']?.step ?? 0));
    case 'evaluation.logged':
      // It cannot be broken off either.
      return afterWork(state, event, 'step');
    case 'checkpoint.saved':
      return afterWork(state, event, 'checkpoint');
    case 'training.completed':
    case 'training.canceled':
    case 'training.failed':
    case 'stage.completed':
    case 'stage.failed':
    case 'stage.interrupted': {
      if (event.stage === undefined || !(event.stage in state.trainings)) return state;
      const { [event.stage]: _, ...trainings } = state.trainings;
      return { ...state, trainings };
    }
    default:
      return state;
  }
}

function added(state: SpendingState, source: string, slice: Partial<SourceSpending>): SpendingState {
  const before = state.bySource[source] ?? { usd: 0, gpuHours: 0, seconds: 0, inputTokens: 0, outputTokens: 0 };
  const { usd = 0, gpuHours = 0, seconds = 0, inputTokens = 0, outputTokens = 0 } = slice;
  return {
    ...state,
    usd: state.usd + usd,
    gpuHours: state.gpuHours + gpuHours,
    bySource: {
      ...state.bySource,
      [source]: {
        usd: before.usd + usd,
        gpuHours: before.gpuHours + gpuHours,
        seconds: before.seconds + seconds,
        inputTokens: before.inputTokens + inputTokens,
        outputTokens: before.outputTokens + outputTokens,
      },
    },
  };
}

function countedUntil(state: SpendingState, { source, until }: EventData['budget.spent']): SpendingState {
  const holding = state.holdings[source];
  if (holding === undefined || until === undefined) return state;
  return { ...state, holdings: { ...state.holdings, [source]: { ...holding, countedUntil: until } } };
}

/** No work takes as long as the machine sleeps meanwhile: so much would be kept back for the next step. In seconds. */
function withoutSleep(state: SpendingState, silent: number): SpendingState {
  const isCounting = Object.keys(state.holdings).length > 0 || state.limits?.wallClockSeconds !== undefined;
  if (!isCounting || silent < sleepSeconds) return state;
  const later = (at: string) => new Date(Date.parse(at) + 1000 * silent).toISOString();
  const trainings = Object.entries(state.trainings).map(([stage, { at, step }]) => [stage, { at: later(at), step }]);
  return { ...state, trainings: Object.fromEntries(trainings) };
}

function withTraining(state: SpendingState, event: Event, step: number): SpendingState {
  if (event.stage === undefined) return state;
  return { ...state, trainings: { ...state.trainings, [event.stage]: { at: event.time, step } } };
}

/** After something that a training did since it was last heard of. @param times how often, e.g. steps */
function afterWork(
  state: SpendingState,
  event: Event & { readonly data: { readonly step: number } },
  of: keyof LongestTimes,
  times = 1,
): SpendingState {
  const before = state.trainings[event.stage ?? ''];
  const seconds = before && secondsBetween(before.at, event.time) / Math.max(1, times);
  return { ...withTraining(state, event, event.data.step), longest: longer(state.longest, of, seconds) };
}

function longer(longest: LongestTimes, of: keyof LongestTimes, seconds: number | undefined): LongestTimes {
  return seconds === undefined || seconds <= (longest[of] ?? 0) ? longest : { ...longest, [of]: seconds };
}

/** A clock that was set back counts for nothing rather than for negative time. */
export function secondsBetween(earlier: string, later: string): number {
  const milliseconds = Date.parse(later) - Date.parse(earlier);
  return milliseconds > 0 ? milliseconds / 1000 : 0;
}
