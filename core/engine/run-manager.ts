import { existsSync } from 'node:fs';
import { inject, injectable } from 'inversify';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Settings } from '../config/settings.js';
import { isUserError, UserError } from '../errors.js';
import type { EventData } from '../events/catalogue.js';
import type { LogFileSystem } from '../events/log-file-system.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { Sink } from '../plugin/definitions.js';
import { present } from '../present.js';
import type { BudgetChange } from '../recipe/budget.js';
import type { Plan } from '../recipe/plan.js';
import { withPresentCode } from './code-changes.js';
import { withPresentFiles } from './file-changes.js';
import { missingSecretLine, missingSecrets } from './missing-secrets.js';
import { findMade, previewPlan } from './preview.js';
import { recipeChanges } from './recipe-changes.js';
import { createRunFolder, madeAt, ofEachRun, readPlan, runIds } from './run-folder.js';
import { readRunState, summarizeRun, unreadableRun } from './run-history.js';
import type { RunHandle, RunOfHome, RunSummary, StagePreview } from './run-outcome.js';
import type { OpenRunRequest, OpenRunScope } from './run-scope.js';
import { beyondMachine, refuseBeyondMachine } from './scheduled-stages.js';
import type { Capacity } from './scheduler.js';
import { writeReport } from './sinks/write-report.js';
import { stagesDone } from './standing.js';
import {
  ArtifactStoreToken,
  LogFileSystemToken,
  OpenRunScopeToken,
  PluginCatalogToken,
  SettingsToken,
} from './tokens.js';
import { namedPython, withPresentVersions } from './version-changes.js';

interface TakeUpOptions {
  /** Interrupts the run when it is aborted. */
  readonly signal?: AbortSignal;
  /** Sinks that the caller has at hand, e.g. the console. They see what this core does, not what a former one did. */
  readonly sinks?: readonly Sink[];
  /** What its stages share, where that is less than the machine has: its claim in a queue. */
  readonly capacity?: Capacity;
  /** The signal by which `simmer cancel` may stop the run: the caller's process listens to it until the run has ended. */
  readonly cancelSignal?: string;
}

export interface ResumeOptions extends TakeUpOptions {
  /** New limits of the budget; null takes one away. They hold for later resumes, too. */
  readonly budgetChange?: BudgetChange;
}

interface StartOptions extends TakeUpOptions {
  /** The recipe as it was written; kept in the run folder for people. */
  readonly recipeText: string;
}

/** A run to make. */
interface CreateOptions {
  /** The recipe as it was written; kept in the run folder for people. */
  readonly recipeText: string;
  /** Who asked a server for it. */
  readonly request?: EventData['run.created']['request'];
}

/** A run in one line, from its folder; undefined where that holds no run. */
export type Summarize = (runFolder: string) => Promise<RunSummary | undefined>;

/** Starts runs, takes them up again, and finds them. What it knows of runs it reads from their folders. */
@injectable()
export class RunManager {
  readonly #settings: Settings;
  readonly #catalog: PluginCatalog;
  readonly #store: ArtifactStore;
  readonly #openRun: OpenRunScope;
  readonly #fileSystem: LogFileSystem;

  constructor(
    @inject(SettingsToken) settings: Settings,
    @inject(PluginCatalogToken) catalog: PluginCatalog,
    @inject(ArtifactStoreToken) store: ArtifactStore,
    @inject(OpenRunScopeToken) openRun: OpenRunScope,
    @inject(LogFileSystemToken) fileSystem: LogFileSystem,
  ) {
    this.#settings = settings;
    this.#catalog = catalog;
    this.#store = store;
    this.#openRun = openRun;
    this.#fileSystem = fileSystem;
  }

  /**
   * Makes the run's folder and starts it. Resolves when it is under way; how it goes, `finished` says.
   * @throws UserError `not_enough_gpus`, `no_disk_space`, `not_writable`; the run was not made then
   */
  async start(plan: Plan, options: StartOptions): Promise<RunHandle> {
    const { runId, runFolder } = await this.create(plan, { recipeText: options.recipeText });
    return this.#takeUp({ runId, runFolder, plan, isResumed: false, warnings: [] }, options);
  }

  /**
   * Makes the run's folder and leaves it at that: `resume` starts it, whenever and in whichever process.
   * @throws UserError `not_enough_gpus`, `no_disk_space`, `not_writable`; the run was not made then
   */
  async create(plan: Plan, { recipeText, request }: CreateOptions): Promise<RunOfHome> {
    await this.#refuseImpossible(plan, new Set());
    await this.#store.ready();
    return createRunFolder(this.#store.runsFolder, {
      plan,
      recipeText,
      ...(request === undefined ? {} : { request }),
      fileSystem: this.#fileSystem,
    });
  }

  /**
   * Goes on with a run after its last durable event, by the plan that it was started with: what is done stays done. A
   * run that completed is left as it is, and its outcome is told again.
   * @throws UserError `run_not_found`, `run_locked`, `run_folder_damaged`, `not_enough_gpus`
   */
  async resume(runId: string, { budgetChange, ...options }: ResumeOptions): Promise<RunHandle> {
    const runFolder = this.#store.runFolder(runId);
    if (!(await runIds(this.#store.runsFolder)).includes(runId)) throw notFound(runId);
    const state = await readRunState(runFolder);
    if (state.completed !== undefined) {
      const { reportPath, metrics, outputs } = state.completed;
      const finished = Promise.resolve({ status: 'completed', reportPath, metrics, outputs } as const);
      return { runId, runFolder, finished, interrupt() {}, dropReplies() {} };
    }
    const done = new Set((await stagesDone(state, this.#store)).done.keys());
    const byCode = await withPresentCode(await readPlan(runFolder, { isWhole: true }), this.#catalog, done);
    const byVersions = await withPresentVersions(
      byCode.plan,
      { catalog: this.#catalog, settings: this.#settings, namedPython: namedPython(this.#settings, state.python) },
      done,
    );
    const byFiles = await withPresentFiles(byVersions.plan, done);
    const { plan } = byFiles;
    await this.#refuseImpossible(plan, done);
    // After `run.created` alone nobody has started it yet.
    const isResumed = state.events > 1;
    const change = budgetChange === undefined ? {} : { budgetChange };
    const warnings = [
      ...(isResumed ? await recipeChanges(plan, runFolder) : []),
      ...byCode.changes,
      ...byVersions.changes,
      ...byFiles.changes,
    ];
    return this.#takeUp({ runId, runFolder, plan, isResumed, warnings, ...change }, options);
  }

  /**
   * Every run of the home, the newest first: one whose log is damaged is among them, and hides no other.
   * @param summarize reads a log; a caller may know a quicker way @throws what the log of a run says, where nothing else
   * tells of the run
   */
  async list(summarize: Summarize = summarizeRun): Promise<readonly RunSummary[]> {
    return this.#summarize(await runIds(this.#store.runsFolder), summarize);
  }

  /** The newest first. */
  async #summarize(ids: readonly string[], summarize: Summarize): Promise<readonly RunSummary[]> {
    const summaries = await ofEachRun(ids, async (id) => {
      const runFolder = this.#store.runFolder(id);
      return summarize(runFolder).catch(async (error: unknown) => {
        const run = isUserError(error) ? await unreadableRun(runFolder) : undefined;
        // One that was removed meanwhile is none.
        if (run === undefined && existsSync(runFolder)) throw error;
        return run;
      });
    });
    return summaries
      .filter((summary) => summary !== undefined)
      .toSorted((a, b) => b.startedAt.localeCompare(a.startedAt) || b.runId.localeCompare(a.runId));
  }

  /**
   * A run by its id, by the beginning of its id, or as `latest` the newest one that is no inspection.
   * @throws UserError `run_not_found`, `run_ambiguous`
   */
  async find(idOrPrefixOrLatest: string, summarize: Summarize = summarizeRun): Promise<RunSummary> {
    if (idOrPrefixOrLatest === 'latest') {
      let hasInspection = false;
      for await (const run of this.#newestFirst(summarize)) {
        if (run.inspects === undefined) return run;
        hasInspection = true;
      }
      throw notFound(idOrPrefixOrLatest, hasInspection);
    }
    // Every id begins with nothing: it would be whichever run is the only one.
    if (idOrPrefixOrLatest === '') {
      throw new UserError('run_not_found', 'The name of the run is empty.', {
        hint: 'Give its id, the beginning of its id, or `latest`.',
      });
    }
    const ids = await runIds(this.#store.runsFolder);
    const matches = ids.includes(idOrPrefixOrLatest)
      ? [idOrPrefixOrLatest]
      : ids.filter((id) => id.startsWith(idOrPrefixOrLatest)).toSorted();
    const [id, ...others] = matches;
    if (id === undefined) throw notFound(idOrPrefixOrLatest);
    if (others.length > 0) {
      throw new UserError('run_ambiguous', `"${idOrPrefixOrLatest}" may be any of ${matches.length} runs.`, {
        hint: `Type more of it: ${matches.slice(-5).join(', ')}.`,
      });
    }
    const summary = await summarize(this.#store.runFolder(id));
    if (summary === undefined) throw notFound(id);
    return summary;
  }

  /** As `list`, of which no more is read than is asked for. */
  async *#newestFirst(summarize: Summarize): AsyncIterable<RunSummary> {
    const ids = await runIds(this.#store.runsFolder);
    const times = new Set(ids.map(madeAt).toSorted().toReversed());
    for (const time of times) {
      const sameSecond = ids.filter((id) => madeAt(id) === time);
      yield* await this.#summarize(sameSecond, summarize);
    }
  }

  /** What a run of the plan would find in the cache. */
  preview(plan: Plan): Promise<readonly StagePreview[]> {
    return previewPlan(plan, this.#store.stages);
  }

  /** The stages of a run that have nothing to do: done before, or to be found in the cache, and not removed until disposal. */
  async holdMade(runId: string, plan: Plan): Promise<Disposable & { readonly stages: ReadonlySet<string> }> {
    const { done } = await stagesDone(await readRunState(this.#store.runFolder(runId)), this.#store);
    const { outputs } = await findMade(plan, this.#store.stages);
    const held = await this.#store.hold([...outputs.values()].flatMap((uris) => Object.values(uris)));
    try {
      const made = await findMade(plan, this.#store.stages);
      return {
        stages: new Set([...done.keys(), ...made.outputs.keys()]),
        [Symbol.dispose]: () => held[Symbol.dispose](),
      };
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }

  /** Writes the run's report anew from its log, and returns its path. @throws UserError `run_not_found` */
  async writeReport(runId: string): Promise<string> {
    if (!(await runIds(this.#store.runsFolder)).includes(runId)) throw notFound(runId);
    return writeReport(runId, this.#store, this.#catalog);
  }

  /** A GPU stage on a machine without GPUs is only worth a run where its outputs are there already. */
  async #refuseImpossible(plan: Plan, done: ReadonlySet<string>): Promise<void> {
    const impossible = beyondMachine(plan, this.#settings.resources).filter((stage) => !done.has(stage.name));
    if (impossible.length === 0) return;
    const previews = await this.preview(plan);
    const hits = new Set(previews.filter((each) => each.cache === 'hit').map((each) => each.stage));
    const left = impossible.filter((stage) => !hits.has(stage.name));
    refuseBeyondMachine(left, this.#settings.resources);
  }

  async #takeUp(
    run: Omit<OpenRunRequest, 'sinks'>,
    { signal, sinks = [], capacity, cancelSignal }: TakeUpOptions,
  ): Promise<RunHandle> {
    const lacking = await missingSecrets(run.plan, () => this.preview(run.plan));
    const open = await this.#openRun({
      ...run,
      warnings: [...run.warnings, ...lacking.map(missingSecretLine)],
      sinks,
      ...present({ capacity, cancelSignal }),
    });
    const interrupt = () => open.interrupt(reasonOf(signal));
    signal?.addEventListener('abort', interrupt);
    if (signal?.aborted === true) interrupt();
    const finished = open.execute().finally(() => signal?.removeEventListener('abort', interrupt));
    return {
      runId: run.runId,
      runFolder: run.runFolder,
      finished,
      interrupt: (reason, patienceSeconds) => open.interrupt(reason, patienceSeconds),
      dropReplies: () => open.dropReplies(),
    };
  }
}

function notFound(name: string, hasInspection = false): UserError {
  const none = hasInspection
    ? 'There is no run yet, only inspections, which `latest` does not mean.'
    : 'There is no run yet.';
  return new UserError('run_not_found', name === 'latest' ? none : `There is no run "${name}".`, {
    hint: '`simmer runs` lists those that there are. Other homes and servers have others: --home, --server.',
  });
}

function reasonOf(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.reason;
  if (typeof reason === 'string') return reason;
  return reason instanceof Error && reason.name !== 'AbortError' ? reason.message : 'stopped by the caller';
}
