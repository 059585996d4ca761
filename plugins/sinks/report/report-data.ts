import type { EventData, MeasuredFigures, Plan } from 'simmerkit';
import type { StageComparison } from './comparison-report.js';

/** All that the page shows, computed from a run's events and artifacts and from nothing else. */
export interface ReportData {
  readonly runId: string;
  readonly recipe: string;
  readonly recipeText: string;
  readonly plan: Plan | undefined;
  readonly planDigest: string;
  readonly simmerVersion: string;
  readonly startedAt: string;
  /** From the first event to the last. */
  readonly seconds: number;
  readonly funnel: readonly FunnelStep[];
  readonly trainings: readonly TrainingCurve[];
  readonly stages: readonly StageTime[];
  readonly spending: SpendingData;
  readonly figures: MeasuredFigures;
  /** In the order of their stages. */
  readonly comparisons: readonly Compared[];
  readonly forcing: readonly ForcingCount[];
  readonly browsed: BrowsedSamples;
  readonly versions: readonly Versions[];
  /** Restarts, interruptions, warnings: what a reader of the figures should know. */
  readonly incidents: readonly { readonly time: string; readonly text: string }[];
}

/** A comparison, and what a few of its problems came to. */
export interface Compared extends StageComparison {
  readonly traces: readonly TracePair[];
}

export interface FunnelStep {
  readonly stage: string;
  readonly step: string;
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly dropped: Readonly<Record<string, number>>;
}

export interface TrainingCurve {
  readonly stage: string;
  /** The last attempt of each step, by step; of many steps some thousands, evenly spread. */
  readonly steps: readonly EventData['step.logged'][];
  readonly evaluations: readonly EventData['evaluation.logged'][];
  readonly checkpoints: readonly number[];
  /** Steps that ran more than once. */
  readonly rerunSteps: number;
  readonly started: EventData['training.started'] | undefined;
  readonly completed: EventData['training.completed'] | undefined;
}

/** What the run cost, over all of its attempts. */
export interface SpendingData {
  /** By who was paid, in the order of the first payment. */
  readonly sources: readonly {
    readonly source: string;
    readonly usd: number;
    readonly gpuHours: number;
    readonly seconds: number;
    readonly inputTokens: number;
    readonly outputTokens: number;
  }[];
  readonly usd: number;
  readonly gpuHours: number;
  readonly limits: EventData['budget.set'];
}

export interface StageTime {
  readonly name: string;
  readonly uses: string;
  readonly state: 'completed' | 'reused';
  /** What it took in the run that made it; unknown where that run's folder is gone. */
  readonly seconds: number | undefined;
  readonly peakMemoryBytes: number | undefined;
  readonly attempts: number;
  readonly madeBy: string | undefined;
}

/** What forcing did to the samples of one model under one policy. */
export interface ForcingCount {
  readonly model: string;
  readonly policy: string;
  readonly samples: number;
  /** Thinking was ended at the maximum. */
  readonly ended: number;
  /** At least one wait was appended, and how many in all. */
  readonly extended: number;
  readonly waits: number;
  /** The model ended the whole sequence inside its thinking, and was asked for its answer. */
  readonly askedAfterEnd: number;
  readonly natural: number;
}

/** One sample of one model. */
export interface Trace {
  readonly model: string;
  readonly policy: string;
  readonly method: string;
  /** Null: none. */
  readonly maxThinkingTokens: number | null;
  readonly ignore: number;
  readonly thinking: string;
  readonly answer: string;
  readonly thinkingTokens: number;
  readonly thinkingEnd: string;
  readonly verdict: string;
  readonly extracted: string | null;
  readonly interventions: readonly TraceIntervention[];
}

interface TraceIntervention {
  readonly kind: string;
  readonly text: string;
  /** Where it is in `thinking`, in Unicode code points. */
  readonly characterOffset: number;
}

/** Samples that a reader can look through. */
export interface BrowsedSamples {
  /** Problems by id, as many as fit into the page, each with its first sample under every policy. */
  readonly problems: readonly BrowsedProblem[];
  /** Problems that there are. */
  readonly problemsInAll: number;
}

export interface BrowsedProblem {
  readonly id: string;
  readonly question: string;
  /** Null where nobody knows one. */
  readonly gold: string | null;
  readonly samples: readonly BrowsedSample[];
}

export interface BrowsedSample {
  readonly trace: Trace;
  /** What the same model answered where less was forced; only where that is another answer or verdict. */
  readonly changedFrom:
    | { readonly policy: string; readonly verdict: string; readonly extracted: string | null }
    | undefined;
}

/** The same problem twice. */
export interface TracePair {
  /** Why it was chosen, e.g. "wrong before, right after". */
  readonly why: string;
  readonly question: string;
  readonly gold: string | null;
  readonly before: Trace;
  readonly after: Trace;
}

export interface Versions {
  readonly of: string;
  readonly versions: Readonly<Record<string, string>>;
}
