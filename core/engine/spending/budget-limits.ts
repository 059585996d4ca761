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
  /** Below which limit the run would only end here again. @default `spent` */
  readonly needed?: number;
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

/** The limits below which no more is left than must be kept back. */
export function shortOf(standings: readonly Standing[], keptBackSeconds: number): readonly Standing[] {
  return standings.flatMap((standing) => {
    const needed = standing.spent + keptBackSeconds * standing.perSecond;
    return secondsLeft(standing, keptBackSeconds) <= 0 ? [{ ...standing, needed }] : [];
  });
}

/**
 * A limit as an error: what was spent, why it ends here, and how to go on.
 * @param others limits that a run which goes on would reach as soon
 */
export function budgetReached(
  runId: string,
  standing: Standing,
  why: string,
  others: readonly Standing[] = [],
): UserError {
  const { limit, atMost, spent } = standing;
  const more = [standing, ...others].map((each) => `--set budget.${offered(each)}`).join(' ');
  return new UserError('budget_reached', `${said[limit](atMost, spent)}, and ${why}.`, {
    kind: 'budget',
    hint: `All that is paid for is kept. Go on with more: simmer resume ${runId} ${more}`,
  });
}

const said: Readonly<Record<keyof BudgetLimits, (atMost: number, spent: number) => string>> = {
  usd: (atMost, spent) => `${formatUsd(spent)} of the budget of ${formatUsd(atMost)} are spent`,
  gpuHours: (atMost, spent) => `${rounded(spent)} of the ${rounded(atMost)} GPU-hours of the budget are spent`,
  wallClockSeconds: (atMost, spent) =>
    `${formatDuration(spent)} of the ${formatDuration(atMost)} of the budget have passed`,
};

/** A limit that is twice as high, or twice what is needed, as `--set` takes it. */
function offered({ limit, atMost, spent, needed = spent }: Standing): string {
  const half = rounded(2 * atMost) >= needed ? atMost : needed;
  return limit === 'wallClockSeconds' ? `wallClock=${Math.ceil((2 * half) / 60)}m` : `${limit}=${twice(half)}`;
}

function twice(half: number): number {
  return half === 0 ? 1 : rounded(2 * half);
}

function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
