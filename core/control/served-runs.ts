import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { filter, firstValueFrom, fromEvent, Subject, takeUntil } from 'rxjs';
import { Holds } from '../artifacts/holds.js';
import type { Settings } from '../config/settings.js';
import { createRunManager } from '../container/create-run-manager.js';
import { appendEnding } from '../engine/append-ending.js';
import type { Removal } from '../engine/past-runs/remove-runs.js';
import { eventsFile, readPlan } from '../engine/run-folder.js';
import { isHeld } from '../engine/run-history.js';
import type { ResumeOptions, RunManager } from '../engine/run-manager.js';
import type { RunHandle, RunSummary } from '../engine/run-outcome.js';
import { toErrorRecord, UserError } from '../errors.js';
import type { LogFileSystem } from '../events/log-file-system.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { processMachine } from '../plugin/process/process-machine.js';
import type { BudgetChange } from '../recipe/budget.js';
import type { Plan } from '../recipe/plan.js';
import { keepResume, refuseOtherChange } from './kept-resume.js';
import type { ServerLimits } from './limits.js';
import type { PlannedRecipe } from './recipe-source.js';
import { runInHand, runsElsewhere, serverStopping } from './refusals.js';
import { RequestedRuns, type RunRequest } from './requested-runs.js';
import { claimOf } from './run-claim.js';
import { indexRuns } from './run-index.js';
import { ended, oneLine, tellSlowStop } from './run-news.js';
import { RunRemovals } from './run-removals.js';
import { RunSummaries } from './run-summaries.js';
import { SlotQueue } from './slot-queue.js';
import type { ServedRun } from './wire.js';

/** Why a run was interrupted that goes on when the server is started again. */
const stoppedByServer = 'the server was stopped';
/** How long a server that is stopped waits for replies at most, in seconds: service managers kill after ten minutes. */
const stopPatienceSeconds = 8 * 60;

/** How often it is looked whether another process still writes a run that is watched. */
const ownerMilliseconds = 1000;

interface ServedRunsOptions {
  readonly settings: Settings;
  readonly limits: ServerLimits;
  /** What the logs of its runs are written with. */
  readonly logFileSystem: LogFileSystem;
  /** Tells the server's owner what no client is told. */
  log(message: string): void;
}

/** A run whose slots are taken. */
interface Active {
  handle?: RunHandle;
  /** Why it was told to stop. */
  reason?: string;
  /** Resolves when it has given its slots back. */
  gone: Promise<void>;
}

/** The runs that a server has in hand: it queues them, runs them, and takes them up again after it was killed. */
export class ServedRuns {
  readonly queue: SlotQueue;
  readonly #options: ServedRunsOptions & { readonly holds: Holds };
  readonly #manager: RunManager;
  readonly #removals: RunRemovals;
  /** What runs find in the cache that wait or run, by their ids. */
  readonly #made = new Map<string, Disposable>();
  readonly #requested = new RequestedRuns();
  /** Runs whose slots are taken. */
  readonly #active = new Map<string, Active>();
  /** Runs that are being canceled: who asks for the same meanwhile gets the same answer. */
  readonly #cancels = new Map<string, Promise<void>>();
  /** The last resume of each run that is being put into the queue: the next one has to see what became of it. */
  readonly #resumes = new Map<string, Promise<void>>();
  /** Ids of runs that have ended, or were taken out of the queue. */
  readonly #released$ = new Subject<string>();
  readonly #summaries = new RunSummaries();
  /** What the next server takes up. */
  readonly #goOn = new Set<string>();
  /** What a former server left, with what changes of the budgets: it is in the queue soon, the oldest first. */
  readonly #left = new Map<string, BudgetChange>();
  #takingUp: Promise<void> = Promise.resolve();
  #isStopping = false;

  private constructor(options: ServedRunsOptions & { readonly holds: Holds }, manager: RunManager) {
    this.#options = options;
    this.#manager = manager;
    this.queue = new SlotQueue(options.settings.resources);
    this.#removals = new RunRemovals(options, {
      list: () => this.#manager.list(this.#summaries.summarize),
      refuseInHand: (runId) => this.#refuseInHand(runId),
      forget: ({ runId, runFolder }) => {
        this.#summaries.forget(runFolder);
        this.#requested.forget(runId);
      },
    });
  }

  /** Reads which requests there were. What a former server left without an end waits for `takeUp`. */
  static async open(options: ServedRunsOptions): Promise<ServedRuns> {
    const catalog = new PluginCatalog({ baseFolder: process.cwd() });
    const held = { ...options, holds: new Holds() };
    const runs = new ServedRuns(held, await createRunManager({ ...held, catalog }));
    for (const { runId, request, resume, lastSequence, end } of await indexRuns(options.settings.home)) {
      if (request !== undefined) runs.#requested.add(request, Promise.resolve(runId));
      if (request === undefined && resume === undefined) continue;
      const isWaiting = resume?.lastSequence === lastSequence;
      if (end === undefined || end.reason === stoppedByServer || isWaiting)
        runs.#left.set(runId, isWaiting ? resume.budgetChange : {});
    }
    return runs;
  }

  /** Queues every run that a former server left without an end, the oldest first. Called once. */
  takeUp(): Promise<void> {
    this.#takingUp = (async () => {
      for (const [runId, budgetChange] of this.#left) {
        await this.#enqueue(runId, budgetChange).catch((error: unknown) =>
          this.#options.log(`${runId}: ${String(error)}`),
        );
        this.#left.delete(runId);
      }
    })();
    // What these runs find in the cache is held from now on.
    void this.#takingUp.then(() => this.#removals.finish());
    return this.#takingUp;
  }

  /**
   * A new run in the queue, durable; or the one that the same request made before.
   * @param plan called only where the request is new
   * @throws UserError `request_id_reused`, `queue_full`, and what is wrong with the recipe or the machine
   */
  async create(
    request: RunRequest,
    plan: () => Promise<PlannedRecipe>,
  ): Promise<{ readonly runId: string; readonly isNew: boolean }> {
    const known = this.#requested.find(request);
    if (known !== undefined) return { runId: await known, isNew: false };
    this.#refuseWhereFull();
    const runId = this.#create(request, plan);
    this.#requested.add(request, runId);
    return { runId: await runId, isNew: true };
  }

  /** Ids of the runs that wait, in the order of the queue. */
  get waiting(): readonly string[] {
    return [...this.queue.waiting, ...[...this.#left.keys()].filter((runId) => !this.queue.has(runId))];
  }

  /**
   * Puts a run that has stopped into the queue again.
   * @throws UserError `run_locked`, `queue_full`; `budget_not_changed` where the run is in the queue with another change
   */
  resume(runId: string, budgetChange: BudgetChange = {}): Promise<void> {
    const before = this.#removals.of(runId) ?? this.#resumes.get(runId)?.catch(() => undefined) ?? this.#takingUp;
    const resume = before
      .then(() => this.#resume(runId, budgetChange))
      .finally(() => {
        if (this.#resumes.get(runId) === resume) this.#resumes.delete(runId);
      });
    this.#resumes.set(runId, resume);
    return resume;
  }

  /**
   * Stops a run, or takes it out of the queue; resolves when its slots are free.
   * @param dropsReplies whether those under way are waited for no longer, also where it is being canceled already
   * @throws UserError `run_locked`
   */
  cancel(runId: string, reason: string, dropsReplies = false): Promise<void> {
    const underWay = this.#cancels.get(runId);
    if (underWay !== undefined) {
      if (dropsReplies) this.#active.get(runId)?.handle?.dropReplies();
      return underWay;
    }
    // The server's own words would have it taken up again.
    const words = reason === stoppedByServer ? `a client: ${reason}` : reason;
    const cancel = this.#cancel(runId, words, dropsReplies).finally(() => {
      this.#cancels.delete(runId);
      this.#released$.next(runId);
    });
    this.#cancels.set(runId, cancel);
    return cancel;
  }

  /**
   * Removes runs that have ended and all that no other run has, or says what would go. Ids of no run are passed over.
   * @throws UserError `run_locked`, `runs_under_way`, `too_many_runs`, `too_many_removals`
   */
  async remove(runIds: readonly string[], dryRun: boolean): Promise<Removal> {
    await this.#takingUp;
    return this.#removals.remove(runIds, dryRun);
  }

  /**
   * A run of which more may come, also where it has an end: it is resumed and waits, or it is just ending.
   * @param runId its whole id @param signal of who waits: one that is gone leaves nothing behind
   * @returns what resolves when it is let go, or the signal is aborted; undefined where it waits not and runs not here
   */
  async inHand(runId: string, signal: AbortSignal): Promise<{ readonly released: Promise<unknown> } | undefined> {
    await this.#takingUp;
    if (signal.aborted || (!this.queue.has(runId) && !this.#cancels.has(runId))) return undefined;
    const released$ = this.#released$.pipe(
      filter((released) => released === runId),
      takeUntil(fromEvent(signal, 'abort')),
    );
    return { released: firstValueFrom(released$, { defaultValue: undefined }) };
  }

  /** Resolves when nobody writes a run any more: it is not in hand here, and no process holds it. Or when the signal is aborted. */
  async letGo(runFolder: string, signal: AbortSignal): Promise<void> {
    // Twice: a process that makes a run holds it just after.
    for (let looks = 0; looks < 2 && !signal.aborted; ) {
      const inHand = await this.inHand(basename(runFolder), signal);
      if (inHand !== undefined) await inHand.released;
      looks = inHand === undefined && !(await isHeld(runFolder)) ? looks + 1 : 0;
      await wait(ownerMilliseconds, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Whether this server has stopped a run only because it is stopped itself: the next one goes on with it. */
  goesOn(runId: string): boolean {
    return this.#goOn.has(runId);
  }

  /** A run by its id, by the beginning of its id, or `latest`. @throws UserError `run_not_found`, `run_ambiguous` */
  async find(name: string): Promise<ServedRun> {
    return this.#served(await this.#manager.find(name, this.#summaries.summarize));
  }

  /** The folder of a run, without reading its log where its whole id is given. @throws UserError as `find` */
  async folderOf(name: string): Promise<string> {
    const folder = join(this.#options.settings.home, 'runs', name);
    const isWhole = /^[a-z0-9][a-z0-9-]*$/.test(name) && existsSync(eventsFile(folder));
    return isWhole ? folder : (await this.find(name)).runFolder;
  }

  /** A run by its whole id. @throws UserError `run_not_found` */
  async get(runId: string): Promise<ServedRun> {
    const run = await this.find(runId);
    if (run.runId === runId) return run;
    throw new UserError('run_not_found', `There is no run ${JSON.stringify(runId)}.`, { hint: 'Give its whole id.' });
  }

  /** Every run of the home, the newest first. */
  async list(): Promise<readonly ServedRun[]> {
    return (await this.#manager.list(this.#summaries.summarize)).map((run) => this.#served(run));
  }

  /** The manager for a run that exists, with the plugins that it was planned with. */
  async managerFor(runFolder: string): Promise<RunManager> {
    return managerFor(await readPlan(runFolder), this.#options);
  }

  /** Interrupts what runs; it goes on when a server is started again. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.queue.pause();
    const gone = [...this.#active].map(([runId, active]) => {
      this.#interrupt(runId, active, stoppedByServer);
      return active.gone;
    });
    await Promise.all(gone);
    await this.#removals.ended();
  }

  async #create(request: RunRequest, plan: () => Promise<PlannedRecipe>) {
    const planned = await plan();
    if (this.#isStopping) throw serverStopping();
    const manager = await createRunManager({ ...this.#options, catalog: planned.catalog });
    const { runId } = await manager.create(planned.plan, { recipeText: planned.text, request });
    await this.#enqueue(runId);
    return runId;
  }

  async #resume(runId: string, budgetChange: BudgetChange): Promise<void> {
    const { status, runFolder, events } = await this.get(runId);
    if (this.queue.has(runId)) return await refuseOtherChange({ runId, runFolder }, budgetChange);
    if (status === 'completed') return;
    if (await isHeld(runFolder)) throw runsElsewhere(runId);
    this.#refuseWhereFull();
    await keepResume(runFolder, { lastSequence: events, budgetChange });
    await this.#enqueue(runId, budgetChange);
  }

  async #enqueue(runId: string, budgetChange: BudgetChange = {}): Promise<void> {
    const { runFolder } = await this.find(runId);
    const plan = await readPlan(runFolder);
    const manager = await managerFor(plan, this.#options);
    const made = await manager.holdMade(runId, plan);
    if (this.queue.has(runId)) {
      made[Symbol.dispose]();
      return;
    }
    this.#made.set(runId, made);
    const claim = claimOf(plan, made.stages);
    this.queue.enqueue(runId, claim, () => {
      const capacity = this.queue.claimOf(runId) ?? claim;
      this.#start(runId, runFolder, manager, { capacity, budgetChange });
    });
  }

  #start(runId: string, runFolder: string, manager: RunManager, options: ResumeOptions): void {
    const active: Active = { gone: Promise.resolve() };
    const run = async () => {
      try {
        active.handle = await manager.resume(runId, options);
        if (active.reason !== undefined) active.handle.interrupt(active.reason);
        this.#options.log(`${runId}: started`);
        const outcome = await active.handle.finished;
        if (outcome.status === 'interrupted' && outcome.reason === stoppedByServer) this.#goOn.add(runId);
        this.#options.log(`${runId}: ${oneLine(ended(outcome))}`);
      } catch (error) {
        // It could not be taken up at all. Who watches it must see an end.
        this.#options.log(`${runId}: ${oneLine(error instanceof Error ? error.message : String(error))}`);
        const data = { error: toErrorRecord(error) };
        await appendEnding(runId, runFolder, { type: 'run.failed', data }).catch((failure: unknown) =>
          this.#options.log(`${runId}: its end could not be written: ${String(failure)}`),
        );
      } finally {
        this.#active.delete(runId);
        this.#letGoOfMade(runId);
        this.queue.release(runId);
        this.#released$.next(runId);
      }
    };
    this.#active.set(runId, active);
    active.gone = run();
  }

  async #cancel(runId: string, reason: string, dropsReplies: boolean): Promise<void> {
    await this.#takingUp;
    // It would go on in spite of this.
    await this.#resumes.get(runId)?.catch(() => undefined);
    await this.#removals.of(runId);
    const { status, runFolder } = await this.get(runId);
    if (this.queue.withdraw(runId)) {
      this.#letGoOfMade(runId);
      await appendEnding(runId, runFolder, { type: 'run.interrupted', data: { reason } });
      return;
    }
    const active = this.#active.get(runId);
    if (active === undefined) {
      if (status !== 'running' && status !== 'crashed') return;
      // What ran here may have ended since its status was read.
      if (await isHeld(runFolder)) throw runsElsewhere(runId);
      await appendEnding(runId, runFolder, { type: 'run.interrupted', data: { reason } }, { unlessEnded: true });
      return;
    }
    this.#interrupt(runId, active, reason);
    if (dropsReplies) active.handle?.dropReplies();
    await active.gone;
  }

  #interrupt(runId: string, active: Active, reason: string): void {
    active.reason ??= reason;
    active.handle?.interrupt(reason, this.#isStopping ? stopPatienceSeconds : undefined);
    const runFolder = join(this.#options.settings.home, 'runs', runId);
    const { log } = this.#options;
    tellSlowStop({ runId, runFolder, gone: active.gone }, log).catch((error: unknown) =>
      log(`${runId}: ${String(error)}`),
    );
  }

  #letGoOfMade(runId: string): void {
    this.#made.get(runId)?.[Symbol.dispose]();
    this.#made.delete(runId);
    void this.#removals.finish();
  }

  /** @throws UserError `run_locked`, `server_stopping` */
  #refuseInHand(runId: string): void {
    if (this.#isStopping) throw serverStopping();
    if (this.queue.has(runId) || this.#resumes.has(runId) || this.#cancels.has(runId)) throw runInHand(runId);
  }

  #refuseWhereFull(): void {
    const { queuedRuns } = this.#options.limits;
    if (this.queue.waiting.length < queuedRuns) return;
    throw new UserError('queue_full', `${queuedRuns} runs wait already.`, { kind: 'environment', hint: 'Try later.' });
  }

  #served(run: RunSummary): ServedRun {
    const place = this.queue.placeOf(run.runId);
    // A resumed one has an end in its log, from before.
    const { endedAt, ...open } = run;
    if (place === undefined && this.#active.has(run.runId)) return { ...open, status: 'running' };
    if (place === undefined && run.status !== 'running' && this.#left.has(run.runId))
      return { ...open, status: 'queued' };
    if (place === undefined) return run;
    return { ...open, status: 'queued', queue: { ...place, claim: this.queue.claimOf(run.runId)! } };
  }
}

/** With the plugins that a run was planned with. */
function managerFor(plan: Plan, options: ServedRunsOptions): Promise<RunManager> {
  const { settings, log } = options;
  return createRunManager({ ...options, catalog: PluginCatalog.ofPlan(plan, processMachine(settings, log)) });
}
