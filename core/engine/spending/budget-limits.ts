import { UserError } from '../../errors.js';
import { formatDuration, formatUsd } from '../../figures.js';
import type { BudgetLimits, BudgetReserve } from '../../recipe/budget.js';
import type { LongestTimes } from './spending-state.js';

/** One limit, and where the run stands below it. */
export interface Standing {
  readonly limit: keyof BudgetLimits;
  readonly atMost: number;
  /** With what requests under way may cost. */
  readonly spent: number;
  /** Added to it every second from now on. */
  readonly perSecond: number;
}

/** Measured times are exceeded now and then. */
const margin = 1.25;
/** From the moment at which a limit is seen to be near to the one at which trainers are told, in seconds. */
const reactionSeconds = 0.5;

/** What is going on, as far as it matters for how long an end takes. */
export interface Activity {
  readonly isHolding: boolean;
  readonly isTraining: boolean;
}

/** How long it takes from now to an orderly end: the shutdown, and where something trains its step and a checkpoint. */
export function secondsToEnd(
  longest: LongestTimes,
  reserve: BudgetReserve,
  { isHolding, isTraining }: Activity,
): number {
  const known = (measured: number | undefined, assumed: number) =>
    measured === undefined ? assumed : margin * measured;
  const shutdown = isHolding ? known(longest.shutdown, reserve.shutdownSeconds) : 0;
  const training = isTraining
    ? known(longest.step, reserve.stepSeconds) + known(longest.checkpoint, reserve.checkpointSeconds)
    : 0;
  return reactionSeconds + training + shutdown;
}

/** Seconds until so much must be kept back that nothing more may be done; 0 or less: now. */
export function secondsLeft({ atMost, spent, perSecond }: Standing, keptBackSeconds: number): number {
  return perSecond === 0 ? Number.POSITIVE_INFINITY : (atMost - spent) / perSecond - keptBackSeconds;
}

/**
 * A limit as an error: what was spent, why it ends here, and how to go on.
 * @param needed below which limit it would only end here again
 */
export function budgetReached(
  runId: string,
  { limit, atMost, spent }: Standing,
  why: string,
  needed = spent,
): UserError {
  const { said, key, more } = words[limit](atMost, spent, rounded(2 * atMost) >= needed ? atMost : needed);
  return new UserError('budget_reached', `${said}, and ${why}.`, {
    kind: 'budget',
    hint: `All that is paid for is kept. Go on with more: simmer resume ${runId} --set budget.${key}=${more}`,
  });
}

const words: Readonly<
  Record<
    keyof BudgetLimits,
    (atMost: number, spent: number, half: number) => { said: string; key: string; more: number | string }
  >
> = {
  usd: (atMost, spent, half) => ({
    said: `${formatUsd(spent)} of the budget of ${formatUsd(atMost)} are spent`,
    key: 'usd',
    more: twice(half),
  }),
  gpuHours: (atMost, spent, half) => ({
    said: `${rounded(spent)} of the ${rounded(atMost)} GPU-hours of the budget are spent`,
    key: 'gpuHours',
    more: twice(half),
  }),
  wallClockSeconds: (atMost, spent, half) => ({
    said: `${formatDuration(spent)} of the ${formatDuration(atMost)} of the budget have passed`,
    key: 'wallClock',
    more: `${Math.ceil((2 * half) / 60)}m`,
  }),
};

function twice(half: number): number {
  return half === 0 ? 1 : rounded(2 * half);
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
