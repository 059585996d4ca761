import type { HardwareTable } from '../config/hardware.js';
import type { PluginReference } from '../plugin/plugin-reference.js';
import type { Resources } from '../plugin/resources.js';
import type { PlannedBudget } from './budget.js';

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** An input of a planned stage: the output of another stage of the recipe. */
export interface StageReference {
  readonly stage: string;
  readonly output: string;
}

/** A trainer of the plan. */
export interface PlannedTrainer {
  readonly name: string;
  /** `plugin/trainer`. */
  readonly uses: string;
  /** Normalized: defaults filled in. */
  readonly options: { readonly [key: string]: Json };
  /** Those that the key of each stage that uses it covers: without placement. */
  readonly semanticOptions: { readonly [key: string]: Json };
  readonly launcher: { readonly uses: string; readonly options: { readonly [key: string]: Json } };
  readonly resources: Resources;
  /** Part of the key of every stage that uses it. */
  readonly relevantVersions: Readonly<Record<string, string>>;
  /** Environment variables of the secrets that its options, and those of its launcher, name. Placement. */
  readonly secrets?: readonly string[];
  /** SHA-256 over the code of the plugin that has the trainer. */
  readonly codeDigest: string;
}

/** A sink of the plan. */
export interface PlannedSink {
  /** `plugin/sink`. */
  readonly uses: string;
  readonly options: { readonly [key: string]: Json };
  /** Environment variables of the secrets that its options name. */
  readonly secrets?: readonly string[];
}

/** A stage of the plan. */
export interface PlannedStage {
  readonly name: string;
  /** `plugin/stage`. */
  readonly uses: string;
  /** Normalized: defaults filled in, inputs left out. */
  readonly options: { readonly [key: string]: Json };
  /** Those that the stage key covers: semantic ones, without placement, and of trainers only which of `trainers` each is. */
  readonly semanticOptions: { readonly [key: string]: Json };
  /** Input name to what it refers to; a list for an input that takes many. */
  readonly inputs: Readonly<Record<string, StageReference | readonly StageReference[]>>;
  /** Names of the trainers that its options name. */
  readonly trainers: readonly string[];
  /** Environment variables of the secrets that its options name. Placement. */
  readonly secrets?: readonly string[];
  readonly resources: Resources;
  /** SHA-256 over the code of the plugin that has the stage, and of those that have the graders that it names. */
  readonly codeDigest: string;
  /** What the graders that it names run with, where they tell: part of its key. */
  readonly graderVersions?: readonly { readonly uses: string; readonly versions: Readonly<Record<string, string>> }[];
  readonly seed: number;
  /** What its outputs are said to be like, by name, for estimates: no part of its key. */
  readonly expect?: Readonly<Record<string, { readonly [key: string]: Json }>>;
}

/** A plugin that a plan uses. */
export interface PlannedPlugin {
  readonly version: string;
  /** "built-in", or the npm name, path or command by which the recipe lists it. */
  readonly source: string;
  /** As the recipe lists it, where that is more than a name or path. */
  readonly listed?: PluginReference;
}

/** What a recipe means, resolved: `plan.json`. Its canonical JSON is hashed. Stages are in an order that runs. */
export interface Plan {
  readonly format: 1;
  readonly recipe: string;
  readonly simmerVersion: string;
  readonly seed: number;
  readonly params: { readonly [key: string]: Json };
  /** Absolute folder of the recipe. Placement: not part of the digest. */
  readonly recipeFolder: string;
  /** By name. */
  readonly plugins: Readonly<Record<string, PlannedPlugin>>;
  readonly trainers: Readonly<Record<string, PlannedTrainer>>;
  /** Sinks of the run besides the built-in ones. */
  readonly sinks: readonly PlannedSink[];
  readonly stages: readonly PlannedStage[];
  /** What the command line changed in the recipe, in its words: `--set seed=2`. Not part of the digest. */
  readonly changes?: readonly string[];
  /** The stage that it ends with, where it has only what that one needs. Not part of the digest. */
  readonly until?: string;
  /** The training stage that is inspected and not run, in a plan of `simmer inspect`. Not part of the digest. */
  readonly inspects?: string;
  /** What a run may spend. Not part of the digest, as the hardware. */
  readonly budget?: PlannedBudget;
  /** Prices and data sheets of the hardware that trainers and stages run on, by name. */
  readonly hardware?: HardwareTable;
}
