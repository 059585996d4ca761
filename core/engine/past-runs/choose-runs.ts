import type { RunSummary } from '../run-outcome.js';

/** How a run may stand that nobody writes. */
export const restingStatuses = ['completed', 'failed', 'interrupted', 'crashed'] as const;

/** Which runs of a home are meant; what is absent does not matter. */
export interface RunChoice {
  readonly statuses?: readonly (typeof restingStatuses)[number][];
  /** Name of the recipe, whole. */
  readonly recipe?: string;
  /** For how long nothing has been going on, in seconds: since it ended, or its last event where it has no end. */
  readonly olderThan?: number;
}

/** The runs that are all of it; none that is under way. */
export function chooseRuns(
  runs: readonly RunSummary[],
  { statuses = restingStatuses, recipe, olderThan = 0 }: RunChoice,
  now: Date,
): readonly RunSummary[] {
  return runs.filter(
    (run) =>
      statuses.some((status) => status === run.status) &&
      (recipe === undefined || recipe === run.recipe) &&
      now.getTime() - Date.parse(run.endedAt ?? run.lastEventAt ?? run.startedAt) >= olderThan * 1000,
  );
}
