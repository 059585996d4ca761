import type { Hardware } from '../config/hardware.js';
import type { Json } from '../recipe/plan.js';
import type { Hyperparameters, Precision } from '../trainer/trainer.js';

/**
 * What is known of an artifact before it is opened, or before it exists. Each plugin adds what it knows. Of tables:
 * `rows`, and where texts are trained `tokensPerRow` (mean) and `lengthSpread` (standard deviation of the logarithm of
 * their lengths), and `isAtMost` where there may be fewer or shorter rows than that. Of models: `config`, as in
 * config.json, and the `uri` of one that exists.
 */
export type Facts = Readonly<Record<string, Json>>;

/** Memory of one accelerator that one thing takes, in bytes. */
export interface MemoryPart {
  /** "weights", "gradients", "optimizer", "activations" and the like. */
  readonly part: string;
  readonly bytes: number;
}

/** Time that one thing takes, in seconds. */
export interface TimePart {
  /** "start", "steps", "checkpoints" and the like. */
  readonly part: string;
  readonly seconds: number;
}

/** Something that would take less memory, or offer more. */
export interface Advice {
  /** As it is written in a recipe: "gradientCheckpointing: true". */
  readonly change: string;
  /** Of one accelerator, with the change. */
  readonly bytes: number;
  /** What one accelerator has with the change, where that is another one. */
  readonly memoryBytes?: number;
}

/** What some work takes. */
export interface WorkEstimate {
  /** Time on its hardware. Absent: not known. */
  readonly seconds?: number;
  /** The same, part by part. */
  readonly time?: readonly TimePart[];
  /** Whether time and dollars are the most that it can take, rather than what is expected. */
  readonly isAtMost?: boolean;
  /** Of one accelerator, part by part. */
  readonly memory?: readonly MemoryPart[];
  /** What would take less memory, the mildest first. */
  readonly advice?: readonly Advice[];
  /** Other figures, by name: steps, tokens a second, MFU. */
  readonly figures?: Readonly<Record<string, number>>;
  /** Sentences: what was assumed, or why something is not known. */
  readonly notes?: readonly string[];
}

/** Work for a trainer that does not run yet. */
export type TrainerJob =
  | {
      readonly kind: 'training';
      readonly model: Facts;
      readonly data: Facts;
      /** Of the rows that are evaluated on. Absent: there are none. */
      readonly evaluation?: Facts;
      readonly hyperparameters: Hyperparameters;
      readonly extensions?: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'generation';
      readonly model: Facts;
      readonly prompts: number | undefined;
      /** Tokens that are decoded for each prompt, at most. */
      readonly tokensPerPrompt: number;
      /** Longest sequence, its prompt included. */
      readonly longestSequence: number;
      readonly batchSize?: number;
      readonly precision?: Precision;
    };

/** Where a trainer is to run. */
export interface EstimatePlace {
  /** Absent: the recipe and the settings do not name it. */
  readonly hardware?: Hardware;
  readonly gpus: number;
  readonly nodes: number;
}

/** Estimates work of one of the recipe's trainers. Where its plugin cannot, `notes` say so, and nothing else is there. */
export type EstimateJob = (job: TrainerJob) => Promise<WorkEstimate>;

/** What is paid for besides hardware. */
export interface PaidEstimate extends WorkEstimate {
  /** Dollars for what it asks of others. */
  readonly usd?: number;
}

/** Folders of what was paid for. */
export interface KeptFolders {
  /** The stage's own: an attempt of it did not come to its end. Absent also where its inputs are not there yet. */
  readonly own?: string;
  /** Those of its runs with other inputs. Which of it serves this one only its `run` finds out. */
  readonly others: readonly string[];
}

/** What a stage's `estimate` gets. It must be quick, and open no large file. */
export interface StageEstimateContext {
  /** Input name to what is known of it; a list for one that takes many. Absent: nothing. */
  readonly inputs: Readonly<Record<string, Facts | readonly Facts[] | undefined>>;
  readonly recipeFolder: string;
  readonly cacheFolder: string;
  /** @param name of one of the recipe's trainers */
  trainer(name: string): EstimateJob;
  /**
   * What grading takes by a grader that the options choose; undefined where it costs little.
   * @param answers how many; undefined where that is not known yet
   */
  grader(
    choice: { readonly uses: string; readonly with: Readonly<Record<string, unknown>> },
    answers: number | undefined,
  ): Promise<PaidEstimate | undefined>;
  /** What there is of the folder that is `context.keptFolder(of)` of its `run`, and beside it. */
  kept(of: object): Promise<KeptFolders>;
}

/** What a stage will take and make. */
export interface StageEstimate extends PaidEstimate {
  /** Output name to what will be known of it. */
  readonly outputs?: Readonly<Record<string, Facts>>;
}

/** A published run that a trainer's estimates are held against. */
export interface CalibrationRun {
  readonly run: string;
  /** Where it was published. */
  readonly source: string;
  /** "fit" where constants were fixed by it, else "held out". */
  readonly role: 'fit' | 'held out';
  readonly unit: string;
  readonly predicted: number;
  readonly published: number;
}
