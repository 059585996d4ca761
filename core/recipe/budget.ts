import { z } from 'zod';
import { duration } from '../config/duration.js';
import { present } from '../present.js';

/** What a run may spend at most, over all of its attempts. Absent limits are no limits. */
export interface BudgetLimits {
  /** Dollars: of held hardware by its price, and of everything that stages report. */
  readonly usd?: number;
  /** Hours of accelerators that are held, busy or not. */
  readonly gpuHours?: number;
  /** Time that cores spend on it, without the pauses between an interruption and a resume. */
  readonly wallClockSeconds?: number;
}

/** What is kept back for the way from now to an orderly end, until it has been measured. */
export interface BudgetReserve {
  readonly stepSeconds: number;
  readonly checkpointSeconds: number;
  readonly shutdownSeconds: number;
}

export interface PlannedBudget extends BudgetLimits {
  readonly reserve: BudgetReserve;
}

export const defaultReserve: BudgetReserve = { stepSeconds: 30, checkpointSeconds: 60, shutdownSeconds: 10 };

const limitsShape = {
  usd: z.number().min(0).optional().describe('Dollars at most: hardware by its price, and what stages report.'),
  gpuHours: z.number().min(0).optional().describe('Hours of held accelerators at most.'),
  wallClock: duration.optional().describe('Time that the run may take, without its pauses: seconds, or "12h".'),
};

/** `budget` of a recipe. */
export const budgetShape = z.strictObject({
  ...limitsShape,
  reserve: z
    .strictObject({
      step: duration.optional().describe('A step of training, before one was measured. Default: 30s.'),
      checkpoint: duration.optional().describe('A checkpoint, before one was measured. Default: 60s.'),
      shutdown: duration.optional().describe('The end of a trainer, before one was measured. Default: 10s.'),
    })
    .prefault({})
    .describe('What is kept back for an orderly end until it has been measured.'),
});

/** What `simmer resume --set budget.…` may change; null takes a limit away. */
export const budgetChange = z.strictObject({
  usd: z.number().min(0).nullish(),
  gpuHours: z.number().min(0).nullish(),
  wallClock: duration.nullish(),
});

export type BudgetChange = { readonly [K in keyof BudgetLimits]?: number | null };

export function plannedBudget({ usd, gpuHours, wallClock, reserve }: z.output<typeof budgetShape>): PlannedBudget {
  return {
    ...present({ usd, gpuHours, wallClockSeconds: wallClock }),
    reserve: {
      stepSeconds: reserve.step ?? defaultReserve.stepSeconds,
      checkpointSeconds: reserve.checkpoint ?? defaultReserve.checkpointSeconds,
      shutdownSeconds: reserve.shutdown ?? defaultReserve.shutdownSeconds,
    },
  };
}

/** The limits after a change. */
export function changedLimits(limits: BudgetLimits, change: BudgetChange): BudgetLimits {
  return Object.fromEntries(
    Object.entries({ ...limits, ...change }).filter(([, value]) => value !== null && value !== undefined),
  );
}
