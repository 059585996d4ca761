import { type EventData, formatCount, formatDuration, formatUsd } from 'simmerkit';

/** What a run has spent, over all of its attempts, and what it may. */
export interface WatchedSpending {
  readonly total: EventData['budget.spent']['total'];
  readonly limits: EventData['budget.set'];
}

export const noSpending: WatchedSpending = { total: { usd: 0, gpuHours: 0, wallClockSeconds: 0 }, limits: {} };

/** "$1.20 of $5.00, 0.4 GPU-hours"; empty where nothing costs anything and nothing is limited. */
export function spendingText({ total, limits }: WatchedSpending): string {
  const part = (spent: number, limit: number | undefined, text: (value: number) => string) =>
    limit === undefined ? (spent === 0 ? [] : [text(spent)]) : [`${text(spent)} of ${text(limit)}`];
  const { wallClockSeconds } = limits;
  return [
    ...part(total.usd, limits.usd, formatUsd),
    ...part(total.gpuHours, limits.gpuHours, (hours) => `${formatCount(hours)} GPU-hours`),
    ...(wallClockSeconds === undefined
      ? []
      : [`${formatDuration(total.wallClockSeconds)} of ${formatDuration(wallClockSeconds)}`]),
  ].join(', ');
}
