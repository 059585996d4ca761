import type { TableRows } from '../artifacts/table-file.js';
import type { StageForecast } from '../engine/estimate-plan.js';
import type { MissingSecret } from '../engine/missing-secrets.js';
import type { PointDiff } from '../engine/past-runs/eval-diff.js';
import type { RowHistory } from '../engine/past-runs/explain-row.js';
import type { Removal } from '../engine/past-runs/remove-runs.js';
import type { ByteRange, RunArtifact } from '../engine/past-runs/run-artifacts.js';
import type { RunHandle, RunSummary, StagePreview } from '../engine/run-outcome.js';
import { UserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import type { Sink } from '../plugin/definitions.js';
import type { PluginDescription } from '../plugin/describe-plugin.js';
import type { Overrides } from '../recipe/overrides.js';
import type { Plan } from '../recipe/plan.js';
import type { RunConsoleOptions } from './run-console.js';
import type { WorkspaceFlags } from './workspace.js';

/** A recipe without anything wrong with it. */
export interface ValidRecipe {
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
  /** The events that there are. */
  history(run: RunSummary): AsyncIterable<Event>;
  /** @param file absent: the quickstart */
  start(file: string | undefined, given: Overrides, options: StartOptions): Promise<StartedRun>;
  /** A recipe or run that cannot be started is refused here, before anything is shown. */
  resume(run: RunSummary, options: ResumeOptions): Promise<StartedRun>;
  /** Stops a run, and resolves with how it stands when it has stopped. One that has ended is left as it is. */
  cancel(run: RunSummary): Promise<RunSummary>;
  /** Removes runs that have ended and all that no other run has; or only says what would go. */
  remove(runs: readonly RunSummary[], dryRun: boolean): Promise<Removal>;
  /** What became of a row, by its id or the beginning of it. @throws UserError `row_not_found`, `row_ambiguous` */
  explainRow(run: RunSummary, row: string): Promise<RowHistory>;
  /** @throws UserError `nothing_graded`, `nothing_in_common` */
  diffEvaluations(before: RunSummary, after: RunSummary): Promise<readonly PointDiff[]>;
  /** The sink that shows a run to people. */
  console(options: Omit<RunConsoleOptions, 'source'>): Sink;
}

/** The home of this machine, or with `--server` (or SIMMER_SERVER) that of a server. */
export async function openWorkspace(flags: WorkspaceFlags): Promise<Workspace> {
  const address = serverOf(flags);
  if (address === undefined) {
    const { LocalWorkspace } = await import('./local-workspace.js');
    return LocalWorkspace.open(flags);
  }
  const own = (['home', 'data', 'python'] as const).find((name) => flags[name] !== undefined);
  if (own !== undefined) {
    throw new UserError('server_decides', `--${own} is for this machine, but ${address} does the work.`, {
      hint: `Leave it out; it is given to \`simmer serve\`.`,
    });
  }
  const { RemoteWorkspace } = await import('./remote-workspace.js');
  return RemoteWorkspace.open(address, flags);
}

/** The address of the server that is to do the work; undefined: this machine is. */
export function serverOf({ server = process.env.SIMMER_SERVER }: WorkspaceFlags): string | undefined {
  return server === '' ? undefined : server;
}

/**
 * For commands that only this machine can do: nothing is done here that was meant for a server.
 * @throws UserError `not_on_a_server`
 */
export function refuseServer(command: string, address: string | undefined): void {
  if (address === undefined || address === '') return;
  throw new UserError('not_on_a_server', `\`simmer ${command}\` acts on this machine, not on the server ${address}.`, {
    hint: "Run it on the server's machine; or for this one leave --server out, and unset SIMMER_SERVER.",
  });
}
