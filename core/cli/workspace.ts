import { join, relative } from 'node:path';
import type { TableRows } from '../artifacts/table-file.js';
import { loadSettings, type Settings } from '../config/settings.js';
import type { StageForecast } from '../engine/estimate-plan.js';
import type { MissingSecret } from '../engine/missing-secrets.js';
import type { PointDiff } from '../engine/past-runs/eval-diff.js';
import type { RowHistory } from '../engine/past-runs/explain-row.js';
import type { Removal } from '../engine/past-runs/remove-runs.js';
import type { ByteRange, RunArtifact } from '../engine/past-runs/run-artifacts.js';
import type { RunHandle, RunSummary, StagePreview } from '../engine/run-outcome.js';
import type { Event } from '../events/catalogue.js';
import { PluginCatalog } from '../plugin/catalog.js';
import type { Sink } from '../plugin/definitions.js';
import type { PluginDescription } from '../plugin/describe-plugin.js';
import { simmerPackage } from '../plugin/locate.js';
import type { ListedPlugin } from '../plugin/plugin-reference.js';
import { processMachine } from '../plugin/process/process-machine.js';
import { present } from '../present.js';
import type { Overrides } from '../recipe/overrides.js';
import type { Plan } from '../recipe/plan.js';
import type { RunConsoleOptions } from './run-console.js';
import { sayToPeople } from './terminal.js';

/** What every command that touches runs or recipes takes. */
export interface WorkspaceFlags {
  readonly home?: string;
  readonly data?: string;
  readonly python?: string;
  readonly json?: boolean;
  /** Address of a server that does the work instead of this machine. */
  readonly server?: string;
  readonly serverTokenFile?: string;
}

/** What a command that reads a recipe takes. */
export interface RecipeFlags extends WorkspaceFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly set: Readonly<Record<string, string>>;
  readonly until?: string;
}

/** A recipe without anything wrong with it. */
interface ValidRecipe {
  readonly recipe: string;
  /** As it was named. */
  readonly file: string;
  readonly stages: readonly string[];
  readonly trainers: readonly string[];
}

/** A run that a command started or took up. */
export interface StartedRun extends RunHandle {
  /** Its events from a sequence on, each once it is durable, until nobody writes it any more. */
  follow(fromSequence: number): AsyncIterable<Event>;
}

export interface StartOptions {
  readonly signal: AbortSignal;
  readonly sinks: readonly Sink[];
  /** What this process listens to while it has the run. */
  readonly cancelSignal: string;
}

export interface ResumeOptions extends StartOptions {
  /** `--set`: limits of the budget, and nothing else. @see budgetChangeOf */
  readonly overrides: Readonly<Record<string, string>>;
}

/** Where commands work: this machine's home, or a server. What they print is the same. */
export interface Workspace extends AsyncDisposable {
  /** Of the home, for people. */
  readonly place: string;
  /** @throws UserError `invalid_recipe` with everything that is wrong */
  validate(file: string, given: Overrides): Promise<ValidRecipe>;
  plan(
    file: string,
    given: Overrides,
  ): Promise<{
    readonly digest: string;
    readonly plan: Plan;
    readonly stages: readonly StagePreview[];
    readonly estimates: readonly StageForecast[];
    /** Stages that need more GPUs than this machine has. Undefined where a server is to run them. */
    readonly beyondMachine?: readonly string[];
    /** Of this machine, as well. */
    readonly missingSecrets?: readonly MissingSecret[];
  }>;
  /** @param file a recipe whose own plugins are in it, too; so for `schema` */
  plugins(file: string | undefined): Promise<readonly PluginDescription[]>;
  schema(file: string | undefined): Promise<unknown>;
  runs(): Promise<readonly RunSummary[]>;
  /** @throws UserError `run_not_found`, `run_ambiguous` */
  find(name: string): Promise<RunSummary>;
  /** Resolves with where the report is, and with the id by which `readArtifact` finds it. */
  writeReport(name: string): Promise<{ readonly runId: string; readonly reportPath: string; readonly id: string }>;
  /** What the stages of a run have made so far, and its report. */
  artifacts(run: RunSummary): Promise<readonly RunArtifact[]>;
  readArtifact(range: ByteRange): AsyncIterable<Buffer>;
  /** A dataset or generations that a run has made; of a server's, a copy of it. */
  openTable(artifact: RunArtifact): Promise<TableRows>;
  /** The events that there are, then those that come; ends when the run does. */
  watch(run: RunSummary, options?: { readonly from?: number; readonly signal?: AbortSignal }): AsyncIterable<Event>;
  /** Whether somebody writes the run, or will. */
  isHeld(run: RunSummary): Promise<boolean>;
  planOf(run: RunSummary): Promise<Plan>;
  /** The events that there are. @param options from which sequence on, default 1 */
  history(run: RunSummary, options?: { readonly from?: number }): AsyncIterable<Event>;
  /** As `history`, perhaps without telemetry that more of its kind followed before the next fact. */
  briefHistory(run: RunSummary): AsyncIterable<Event>;
  /** @param file absent: the quickstart */
  start(file: string | undefined, given: Overrides, options: StartOptions): Promise<StartedRun>;
  /** A recipe or run that cannot be started is refused here, before anything is shown. */
  resume(run: RunSummary, options: ResumeOptions): Promise<StartedRun>;
  /**
   * Stops a run, and resolves with how it stands when it has stopped. One that has ended is left as it is.
   * @param dropsReplies whether those under way are not waited for, though they are paid for
   */
  cancel(run: RunSummary, dropsReplies: boolean): Promise<RunSummary>;
  /** Removes runs that have ended and all that no other run has; or only says what would go. */
  remove(runs: readonly RunSummary[], dryRun: boolean): Promise<Removal>;
  /** What became of a row, by its id or the beginning of it. @throws UserError `row_not_found`, `row_ambiguous` */
  explainRow(run: RunSummary, row: string): Promise<RowHistory>;
  /** @throws UserError `nothing_graded`, `nothing_in_common` */
  diffEvaluations(before: RunSummary, after: RunSummary): Promise<readonly PointDiff[]>;
  /** The sink that shows a run to people. */
  console(options: Omit<RunConsoleOptions, 'source'>): Sink;
}

/** What the flags change in a recipe. */
export function givenBy({ param, set, until }: RecipeFlags): Overrides {
  return { params: param, overrides: set, ...(until === undefined ? {} : { until }) };
}

export function settingsFrom(flags: WorkspaceFlags): Promise<Settings> {
  return loadSettings({
    cwd: process.cwd(),
    env: process.env,
    flags: present({ home: flags.home, dataFolder: flags.data, python: flags.python }),
  });
}

/** The built-in plugins, and those that a recipe lists. @param settings of what the plugins' processes are given */
export function catalogOf(
  recipe?: { readonly plugins: readonly ListedPlugin[]; readonly folder: string },
  settings?: Settings,
): PluginCatalog {
  return new PluginCatalog({
    recipePlugins: recipe?.plugins ?? [],
    baseFolder: recipe?.folder ?? process.cwd(),
    ...(settings === undefined ? {} : { machine: processMachine(settings, sayToPeople) }),
  });
}

/** The plugins that a run was started with. */
export function catalogOfPlan(plan: Plan, settings: Settings): PluginCatalog {
  return PluginCatalog.ofPlan(plan, processMachine(settings, sayToPeople));
}

/** The recipe that is run where none is named; it comes with Simmer. */
export function quickstartRecipe(): string {
  return join(simmerPackage.root, 'recipes', 'quickstart.yaml');
}

/** A path as people would type it from here. */
export function shownPath(path: string): string {
  const shorter = relative(process.cwd(), path);
  return shorter === '' || shorter.startsWith('..') ? path : shorter;
}
