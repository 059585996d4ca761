import type { Observable } from 'rxjs';
import type { z } from 'zod';
import type { Artifact, ArtifactType, ArtifactWriter, TableArtifact } from '../artifacts/artifact.js';
import type { Event, EventData, StageEventType } from '../events/catalogue.js';
import type { GivenGrade, GradeItem, Grader, Trainer } from '../trainer/trainer.js';
import type {
  CalibrationRun,
  EstimatePlace,
  PaidEstimate,
  StageEstimate,
  StageEstimateContext,
  TrainerJob,
  WorkEstimate,
} from './estimate.js';
import type { PluginHooks } from './hooks.js';
import type { Log } from './log.js';
import type { Resources } from './resources.js';
import type { Spending } from './spending.js';

/**
 * The version of this API. A plugin says which it was written for; another one is refused by name. So a plugin that others
 * install writes the number: this constant is always that of the Simmer which loads it.
 */
export const apiVersion = 1;

/** Something that is wrong with an option, which its schema cannot see. */
export interface OptionProblem {
  /** The option at fault, with dots to what is inside of it; empty: the options as a whole. */
  readonly path: string;
  /** Stable, snake_case. */
  readonly code: string;
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** One input of a stage: in a recipe, `with: {NAME: ${{ stages.OTHER.OUTPUT }}}`. */
export interface InputDefinition {
  readonly types: readonly ArtifactType[];
  readonly optional: boolean;
  /** A list of references instead of one. */
  readonly many: boolean;
  readonly description: string;
}

export type InputDefinitions = Readonly<Record<string, InputDefinition>>;

type ArtifactOf<T extends ArtifactType> = T extends 'dataset' | 'generations' ? TableArtifact : Artifact;
type InputOf<I extends InputDefinition> = I['many'] extends true
  ? readonly ArtifactOf<I['types'][number]>[]
  : I['optional'] extends true
    ? ArtifactOf<I['types'][number]> | undefined
    : ArtifactOf<I['types'][number]>;
/** What `context.inputs` holds. */
export type StageInputs<I extends InputDefinitions> = { readonly [K in keyof I]: InputOf<I[K]> };

export type OutputDefinitions = Readonly<Record<string, { readonly type: ArtifactType; readonly description: string }>>;
/** What a stage returns: each declared output. */
export type StageOutputs<O extends OutputDefinitions> = { readonly [K in keyof O]: Artifact };

/** What a stage may say while it runs. */
export type StageEvent = {
  [K in StageEventType]: { readonly type: K; readonly data: EventData[K] };
}[StageEventType];

/** What a stage that is an iterable or observable emits: events, and its outputs once, last. */
export type StageEmission<O extends OutputDefinitions> = StageEvent | { readonly outputs: StageOutputs<O> };

export type StageRun<O extends OutputDefinitions> =
  | Promise<StageOutputs<O>>
  | AsyncIterable<StageEmission<O>>
  | Observable<StageEmission<O>>;

/** All that a running stage has. */
export interface StageContext<Options, I extends InputDefinitions> {
  readonly runId: string;
  /** The stage's name in the recipe. */
  readonly stage: string;
  /** Ordinal of this attempt in the run, from 1. */
  readonly attempt: number;
  readonly options: Options;
  readonly inputs: StageInputs<I>;
  /** Derived from the recipe's seed and nothing else; draw all randomness from it (see `random`). */
  readonly seed: number;
  /** Aborted when the run is interrupted, canceled or failed elsewhere: stop soon, keep what is paid for. */
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly artifacts: ArtifactWriter;
  /** A folder that survives kills and later attempts of the same stage key: what is paid for is kept here. */
  readonly scratchFolder: string;
  /**
   * As `scratchFolder`, and stays when the stage is done, until the last run that has it is removed. Beside it stand
   * those of the stage with other inputs: whose name, plugin, seed and `of` (plain JSON) are the same.
   * @param of what the kept things depend on besides: what is asked, of whom, and how
   */
  keptFolder(of: object): Promise<string>;
  /** The folder that relative paths in options are relative to: the recipe's. */
  readonly recipeFolder: string;
  /** The user's cache folder, shared by all projects; exists. What is fetched once for all goes here. */
  readonly cacheFolder: string;
  /** The Python that the user's settings name. */
  readonly python?: string;
  /** Facts are durable when this resolves. */
  emit(event: StageEvent): Promise<void>;
  /** Held below the run's budget: all that the stage pays for besides its trainers goes through here first. */
  readonly spending: Spending;
  /** A trainer that the stage's options name (`trainerName()`); started at first use. */
  trainer(name: string): Promise<Trainer>;
  /** A grader, by `plugin/name` and its options; started at first use, one a run. */
  grader(uses: string, options?: Readonly<Record<string, unknown>>): Promise<Grader>;
}

/** What a stage's `check` knows besides its options. */
export interface CheckPlace {
  readonly recipeFolder: string;
  /** Whether the recipe's budget limits dollars: what is paid for needs a price then. */
  readonly isUsdLimited?: boolean;
  /** How many artifacts the recipe gives each input; 0 for one that it leaves out. Absent where an input is wrong itself. */
  readonly inputs?: Readonly<Record<string, number>>;
}

/** The columns of an input's tables, of all of them together; undefined where they are not known, or there is no table. */
export type ColumnsOf = (input: string) => readonly string[] | undefined;

/** Where the inputs of a stage come from, by their names; none for one that is left out. */
export type InputSources = Readonly<Record<string, readonly StageSource[]>>;

/** Columns by output; undefined for those of which nothing is known. */
export type KnownColumns = Readonly<Record<string, readonly string[] | undefined>>;

/** A stage that an input comes from. */
export interface StageSource {
  /** `plugin/stage`. */
  readonly uses: string;
  /** Defaults filled in. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly inputs: InputSources;
}

/**
 * A stage: artifacts in, artifacts out. The same options, inputs and seed must give the same outputs: the engine keeps
 * them by the key of all three and does not run the stage again.
 */
export interface StageDefinition<
  S extends z.ZodObject = z.ZodObject,
  I extends InputDefinitions = InputDefinitions,
  O extends OutputDefinitions = OutputDefinitions,
> {
  /** One sentence, for `simmer plugins` and the editor. */
  readonly description: string;
  /** Options of the recipe's `with`, apart from inputs. Defaults and descriptions in it; `placement()` marks the rest. */
  readonly options: S;
  readonly inputs: I;
  readonly outputs: O;
  /** What it needs while it runs, apart from its trainers'. Quick, as `check`. Default: one core. */
  resources?(options: z.output<S>): Resources | Promise<Resources>;
  /**
   * Problems that the schema cannot see (files that are missing, options that contradict each other). Called by
   * validate and plan, so it must be quick and must not write.
   */
  check?(options: z.output<S>, where: CheckPlace): readonly OptionProblem[] | Promise<readonly OptionProblem[]>;
  /**
   * Problems that only the stages show that its inputs come from, such as two models of one name: told before any of them
   * runs. Called where all else of the recipe is right; a `path` is that of an input. Must be quick and must not write.
   */
  checkInputs?(inputs: InputSources): readonly OptionProblem[];
  /**
   * Columns that the tables of its inputs must have, by input. Where `columns` of the stages before tells that one is not
   * there, the recipe is refused; else the stage, before it runs. Must be quick and must not write.
   */
  reads?(options: z.output<S>, columnsOf: ColumnsOf): Readonly<Record<string, readonly string[]>>;
  /** Columns of the tables that it makes, by output, as far as they are known before it runs. Quick, as `check`. */
  columns?(options: z.output<S>, columnsOf: ColumnsOf): KnownColumns | Promise<KnownColumns>;
  /**
   * What it will take, for `simmer plan`: with what is known of its inputs, of which most may not exist yet. Starts and
   * writes nothing. Without it, or where it gives undefined, a stage that names a trainer or, in an option `url`, a server
   * is told as one of which nothing is known; others are taken for ones that cost little.
   */
  estimate?(
    options: z.output<S>,
    context: StageEstimateContext,
  ): Promise<StageEstimate | undefined> | StageEstimate | undefined;
  run(context: StageContext<z.output<S>, I>): StageRun<O>;
}

/** A trainer's start command, ready for a launcher. */
export interface TrainerCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Where a trainer or a grader is asked for the versions that it runs with. */
export interface VersionsContext {
  readonly recipeFolder: string;
  readonly cacheFolder: string;
  /** As of `PrepareContext`. */
  readonly python?: string;
}

/** What a trainer contribution gets to prepare itself. */
export interface PrepareContext {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The user's cache folder, shared by all projects; exists. */
  readonly cacheFolder: string;
  readonly recipeFolder: string;
  /** The Python that the user's settings name, used as it is. Absent: a trainer or grader makes its own environment. */
  readonly python?: string;
  /**
   * Of a grader, progress says that its environment is being made: until `environment.prepared` others have the slots of
   * the stage.
   */
  emit(event: Extract<StageEvent, { type: 'environment.prepared' | 'stage.progressed' }>): Promise<void>;
}

/** What a grader gets to make itself ready and to work. */
export interface GraderContext extends PrepareContext {
  /** Held below the run's budget: all that it pays for goes through here first. */
  readonly spending: Spending;
  /**
   * A folder of the run for what was paid for: it survives kills, and stays until the run is removed. Beside it stand those
   * of other runs with the same grader, recipe seed and `of` (plain JSON).
   * @param of what the kept things depend on besides what is asked
   */
  keptFolder(of: object): Promise<string>;
}

/** A kind of trainer: how its process is started. */
export interface TrainerDefinition<S extends z.ZodObject = z.ZodObject> {
  readonly description: string;
  readonly options: S;
  /**
   * What may be given to its trainings besides hyperparameters, as `extensions_schema` of the process has it: validate and
   * plan then say what is wrong with what is given. Without it only the process does, when it is asked to train. Of the
   * marks `runsCode` and `secretVariable` are heeded in it.
   */
  readonly extensions?: z.ZodObject;
  /** What it takes while a stage uses it, where the recipe does not say. Quick, as a stage's `check`. */
  resources?(options: z.output<S>): Resources | Promise<Resources>;
  /**
   * GPUs that each of its processes uses, whatever it holds: a recipe that pays for more of them than the launcher's
   * processes use is refused. Absent: all that are there.
   */
  readonly gpusPerProcess?: number;
  /**
   * The versions that its results depend on, for the stage key; read from metadata, nothing is imported or installed.
   * The same before and after `prepare`.
   */
  relevantVersions(options: z.output<S>, where: VersionsContext): Promise<Readonly<Record<string, string>>>;
  /** What some work will take there, for `simmer plan`; undefined where it cannot say. */
  estimate?(
    job: TrainerJob,
    options: z.output<S>,
    place: EstimatePlace,
  ): Promise<WorkEstimate | undefined> | WorkEstimate | undefined;
  /** Published runs with what its estimates say of them: `simmer plan --calibration`. */
  calibration?(): readonly CalibrationRun[];
  /** Makes ready what it needs (environments) and says how to start it. A run that is stopped waits until it has ended. */
  prepare(options: z.output<S>, context: PrepareContext): Promise<TrainerCommand>;
}

/** A process that a launcher started. */
export interface LaunchedProcess {
  /** Process id of what to watch: rank 0, or the launcher's agent. */
  readonly pid: number;
  /** Resolves when it has ended; for a process that another core started, when it is seen to be gone. */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>;
  /** Asks it to end, then forces it after the grace period. */
  terminate(graceMilliseconds: number): Promise<void>;
}

/** What a launcher is asked to start. */
export interface LaunchRequest {
  readonly command: TrainerCommand;
  readonly resources: Resources;
  /**
   * GPUs of this machine that the trainer is to see, as CUDA_VISIBLE_DEVICES names them: no other trainer has them. For a
   * launcher that starts it here; `gpuVariables` makes the variable. Absent: all there are.
   */
  readonly devices?: readonly string[];
  /** Files that outlive the core: the process must not depend on the core's pipes. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** What the user must know or do for it to start, such as the command for another machine. */
  readonly log: Log;
}

/** Starts trainer processes somewhere: (command, resources) -> process. */
export interface LauncherDefinition<S extends z.ZodObject = z.ZodObject> {
  readonly description: string;
  readonly options: S;
  /** How the core reaches what it starts: a unix socket (the default), or TCP with a token. */
  transport?(options: z.output<S>): 'unix' | 'tcp' | Promise<'unix' | 'tcp'>;
  /** Seconds from the launch until it must serve: other machines may have to come first. @default 180 */
  startSeconds?(options: z.output<S>): number | Promise<number>;
  /** How many processes of the trainer it starts, over all machines. Absent or undefined: that is not known, nor checked. */
  processes?(options: z.output<S>, resources: Resources): number | undefined | Promise<number | undefined>;
  launch(request: LaunchRequest, options: z.output<S>): Promise<LaunchedProcess>;
  /** A process that a former core started with `launch`, by its pid. Undefined where it is gone. */
  attach(pid: number, options: z.output<S>): Promise<LaunchedProcess | undefined>;
}

/** A grader that was started. */
export interface StartedGrader extends AsyncDisposable {
  /** Grades answers: one grade for each, in the order asked. One bad item never fails the others. */
  grade(items: readonly GradeItem[], signal?: AbortSignal): Promise<readonly GivenGrade[]>;
}

/** A grader: in this process, or in one of its own that it owns. */
export interface GraderDefinition<S extends z.ZodObject = z.ZodObject> {
  readonly description: string;
  readonly options: S;
  /**
   * What grading so many answers takes, for `simmer plan`. Without it, or where it gives undefined, a grader that names a
   * server in an option `url` is told as one of which nothing is known; others are taken for ones that cost little.
   * @param answers undefined where their number is not known yet
   * @param around `kept(of)` is what there is of `context.keptFolder(of)` of earlier runs
   */
  estimate?(
    answers: number | undefined,
    options: z.output<S>,
    around?: Pick<StageEstimateContext, 'kept'>,
  ): Promise<PaidEstimate | undefined> | PaidEstimate | undefined;
  /**
   * Whether it can only grade answers to questions whose right answer is known. Where it gives false, stages have it grade
   * rows without one as well, whose `gold` is empty. @default true
   */
  needsGold?(options: z.output<S>): boolean;
  /**
   * The versions that its grades depend on and that its plugin's code does not tell, as of a Python that the user names, for
   * the key of stages that name it; read from metadata, nothing is imported or installed.
   */
  relevantVersions?(options: z.output<S>, where: VersionsContext): Promise<Readonly<Record<string, string>>>;
  start(options: z.output<S>, context: GraderContext): Promise<StartedGrader>;
}

/** What a sink knows of its run. */
export interface SinkContext {
  readonly runId: string;
  readonly runFolder: string;
  /** What relative paths in options are relative to. */
  readonly recipeFolder: string;
  readonly log: Log;
  /** Aborted when someone asked the run to stop; events go on coming until it has. For a sink that people watch. */
  readonly signal?: AbortSignal;
  /** Opens an artifact of the home, whichever run made it. @throws UserError `artifact_missing` */
  openArtifact(uri: string): Promise<Artifact | TableArtifact>;
  /**
   * The log of a run of the same home, e.g. of the one that made what was reused. Nothing where its folder is gone.
   * @param stageKeys of stages whose telemetry is wanted: that of others may be left out, which is quicker. @default all
   */
  eventsOf(runId: string, stageKeys?: readonly string[]): AsyncIterable<Event>;
}

/**
 * Consumes a run's events, in order, each once it is durable; after a resume, again from the first one. Events are frozen:
 * all sinks get the same objects. A sink that throws is left out; the run goes on.
 */
export interface Sink {
  /** Awaited, event by event; a slow sink has a bounded queue and never slows the run. */
  onEvent(event: Event): void | Promise<void>;
  /**
   * Every stage is done and its events were delivered; `run.completed` comes next. What is returned goes into it, so a
   * report is written here; of several, that of sinks/report, and the log tells of the others. Called at most once; not
   * called for a run that fails.
   */
  beforeCompleted?(): Promise<{ readonly reportPath?: string }>;
  /** After the run's last event, whichever that is. Within 15 seconds. */
  close?(): void | Promise<void>;
}

export interface SinkDefinition<S extends z.ZodObject = z.ZodObject> {
  readonly description: string;
  readonly options: S;
  open(options: z.output<S>, context: SinkContext): Promise<Sink> | Sink;
}

/** A plugin: a plain object. */
export interface PluginDefinition {
  /** The first half of `uses: NAME/stage`. */
  readonly name: string;
  readonly version: string;
  /** The number that `apiVersion` of simmerkit had when it was written: `1`. */
  readonly apiVersion: number;
  readonly stages?: Readonly<Record<string, StageDefinition>>;
  readonly trainers?: Readonly<Record<string, TrainerDefinition>>;
  readonly launchers?: Readonly<Record<string, LauncherDefinition>>;
  readonly graders?: Readonly<Record<string, GraderDefinition>>;
  readonly sinks?: Readonly<Record<string, SinkDefinition>>;
  /** What it has to do with the runs of recipes that list it. */
  readonly hooks?: PluginHooks;
}
