import type { Event } from '../events/catalogue.js';
import type { Json, Plan } from '../recipe/plan.js';
import type { Log } from './log.js';

/** Sequential: one plugin after the other, in the order of the recipe's `plugins`; each gets what the one before left. */
export type SequentialHook<T> = (value: T) => T | undefined | Promise<T | undefined>;

/** Parallel: all plugins at the same time, each with the same; what they return is put together. */
export type ParallelHook<T, R> = (value: T) => R | Promise<R>;

/** Nested: the first plugin of the recipe's `plugins` is the outermost; each decides when what is inside of it runs. */
export type NestedHook<T> = (value: T, inside: () => Promise<void>) => Promise<void>;

/** A recipe as it is written, with what the command line sets, before params are filled in. */
export type RecipeTree = { readonly [key: string]: Json };

/** Something that a plugin has against a plan. */
export interface PlanObjection {
  /** Stable, snake_case. @default "plan_refused" */
  readonly code?: string;
  /** What is wrong, naming the thing. */
  readonly message: string;
  /** Dotted path of the key in the recipe, e.g. "stages.tuned.with.epochs". */
  readonly path?: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** A stage that is about to run. */
export interface HookedStage {
  readonly runId: string;
  /** Its name in the recipe. */
  readonly stage: string;
  /** `plugin/stage`. */
  readonly uses: string;
  /** Ordinal of this attempt in the run, from 1. */
  readonly attempt: number;
  readonly options: { readonly [key: string]: Json };
  /** Aborted when the run is interrupted, canceled or failed elsewhere. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * What a plugin has to do with runs whose recipe lists it, besides its contributions. A hook that throws is told of by
 * its plugin's name.
 */
export interface PluginHooks {
  /**
   * Sequential. Before a recipe is checked: returns another tree, or nothing to leave it as it is. What comes out is
   * checked as if it were written so. `plugins` stays as it is. Called by validate, plan and run; must be quick.
   */
  readonly beforePlan?: SequentialHook<RecipeTree>;
  /**
   * Parallel. After a recipe turned out to be right: returns what is to be said against its plan, which is then refused
   * with all of it. Called by validate, plan and run; must be quick.
   */
  readonly afterPlan?: ParallelHook<Plan, readonly PlanObjection[] | undefined>;
  /**
   * Nested. Around the work of a stage; not around one that is taken from the cache. Calls `inside` once and waits for it.
   * It may wait, watch and clean up, but has no hand in what the stage makes: that is reused without any hook. Where it
   * throws, the stage fails.
   */
  readonly aroundStage?: NestedHook<HookedStage>;
  /**
   * Parallel. Each event that this core records, once it is durable, in order. One that throws gets no more events; the
   * run goes on. For what has to see the whole run, or writes a file, a sink is the better place.
   */
  readonly onEvent?: ParallelHook<Event, void>;
}

/** Names of all hooks. */
export const hookNames = [
  'beforePlan',
  'afterPlan',
  'aroundStage',
  'onEvent',
] as const satisfies readonly (keyof PluginHooks)[];
