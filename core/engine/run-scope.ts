import type { Sink } from '../plugin/definitions.js';
import type { Log } from '../plugin/log.js';
import type { BudgetChange } from '../recipe/budget.js';
import type { Json, Plan } from '../recipe/plan.js';
import type { EventMemory } from '../trainer/event-memory.js';
import type { RunOutcome } from './run-outcome.js';
import type { RunState } from './run-state.js';
import type { Capacity } from './scheduler.js';

/** A run that a core takes up, as it is asked for. */
interface TakenRun {
  readonly runId: string;
  readonly runFolder: string;
  readonly plan: Plan;
  /** Another core had it before. */
  readonly isResumed: boolean;
  /** What the user should know before it goes on, as sentences: code that changed since the plan was made. */
  readonly warnings: readonly string[];
  /** What its stages share, where that is less than the machine has. */
  readonly capacity?: Capacity;
  /** Limits of the budget that this core was asked to change. */
  readonly budgetChange?: BudgetChange;
}

/** What is fixed when a core takes a run up. */
export interface RunInfo extends TakenRun {
  /** What the log said before: just `run.created` for a new run. */
  readonly state: RunState;
  /**
   * By trainer of the plan: what happened between it and the core before, so that one that still runs is attached again
   * and goes on where its events were last taken down.
   */
  readonly trainerMemory: ReadonlyMap<string, EventMemory>;
  /** Outputs of the stages that need not run again. */
  readonly done: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** What `--python` names, or named before. */
  readonly namedPython?: string;
  /** Somebody is before it: Ctrl-C stops it, and a second one ends its process. */
  readonly isAttended: boolean;
}

/** A sink of a run: one that a plugin opens, or one that the caller has at hand. */
export type SinkSource =
  | { readonly kind: 'plugin'; readonly uses: string; readonly options: { readonly [key: string]: Json } }
  | { readonly kind: 'hook'; readonly name: string; readonly plugin: string; open(log: Log): Sink }
  | { readonly kind: 'given'; readonly name: string; readonly sink: Sink };

/** Something that a run holds and that ends with it: processes above all. Ended before the run's last event. */
export interface RunResource {
  end(): Promise<void>;
}

/** A run with all that belongs to it, open and locked. */
interface OpenRun {
  /** Runs to the end and closes everything; never rejects. Called once. */
  execute(): Promise<RunOutcome>;
  /** @see RunHandle */
  interrupt(reason: string, patienceSeconds?: number): void;
  /** @see RunHandle */
  dropReplies(): void;
}

export interface OpenRunRequest extends TakenRun {
  readonly sinks: readonly Sink[];
  /** @see RunOwner */
  readonly cancelSignal?: string;
}

/**
 * Takes a run up: locks it, reads its log, and makes the scope of its services.
 * @throws UserError `run_locked` where another core has it; and what is wrong with its log
 */
export type OpenRunScope = (request: OpenRunRequest) => Promise<OpenRun>;
