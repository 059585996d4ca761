import { hostname } from 'node:os';
import { inject, injectable, multiInject } from 'inversify';
import type { Settings } from '../config/settings.js';
import { isUserError, toErrorRecord, UserError } from '../errors.js';
import { systemError } from '../files/system-error.js';
import { figuresByName } from '../metrics/measured-figures.js';
import { present } from '../present.js';
import { endsWithin } from '../process/terminate.js';
import type { PlannedStage } from '../recipe/plan.js';
import { stageKey } from '../recipe/stage-key.js';
import { abortable } from '../trainer/call-queue.js';
import { RunEnding } from './run-ending.js';
import type { RunOutcome } from './run-outcome.js';
import { RunRecorder } from './run-recorder.js';
import type { RunInfo, RunResource } from './run-scope.js';
import { scheduledStages } from './scheduled-stages.js';
import { Scheduler } from './scheduler.js';
import { SinkDriver } from './sinks/sink-driver.js';
import { BudgetGuard } from './spending/budget-guard.js';
import { stageError, stageErrorRecord } from './stage-error.js';
import { inputDigests, inputUris } from './stage-inputs.js';
import { type ReadyStage, type StageOutputUris, StageRunner } from './stage-runner.js';
import { RunInfoToken, RunResourceToken, SettingsToken } from './tokens.js';
import { TrainerPool } from './trainer-pool.js';

/** A stage that waits no longer keeps its slots: another would take them, and hold it up for as long as that runs. */
const idleMilliseconds = 1_000;

/** Takes a run from where its log stands to its end. */
@injectable()
export class Run {
  readonly #run: RunInfo;
  readonly #home: string;
  readonly #recorder: RunRecorder;
  readonly #ending: RunEnding;
  readonly #budget: BudgetGuard;
  readonly #stageRunner: StageRunner;
  readonly #trainers: TrainerPool;
  readonly #sinks: SinkDriver;
  readonly #resources: readonly RunResource[];
  readonly #scheduler: Scheduler;
  readonly #ready = new Map<string, ReadyStage>();
  /** Stages that have lent their slots out: when they have them back. */
  readonly #lent = new Map<string, Promise<void>>();
  /** Of these, such as want them back: what lets them go on. */
  readonly #returning = new Map<string, () => void>();
  /** Stages that have what a trainer is started with: from then on it may be at work, on GPUs of the stage's slots. */
  readonly #prepared = new Set<string>();
  /** Trainers of the stages that are being made. */
  readonly #atWork = new Set<string>();
  /** Has the loop look again at what can start. */
  #wake: () => void = () => {};
  /** Of every stage that is done. */
  readonly #outputs = new Map<string, StageOutputUris>();

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(SettingsToken) settings: Settings,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(RunEnding) ending: RunEnding,
    @inject(BudgetGuard) budget: BudgetGuard,
    @inject(StageRunner) stageRunner: StageRunner,
    @inject(TrainerPool) trainers: TrainerPool,
    @inject(SinkDriver) sinks: SinkDriver,
    @multiInject(RunResourceToken) resources: readonly RunResource[],
  ) {
    this.#run = run;
    this.#home = settings.home;
    this.#recorder = recorder;
    this.#ending = ending;
    this.#budget = budget;
    this.#stageRunner = stageRunner;
    this.#trainers = trainers;
    this.#sinks = sinks;
    this.#resources = resources;
    for (const [stage, outputs] of run.done) this.#outputs.set(stage, outputs);
    const underWay = Object.entries(run.state.stages).flatMap(([name, { status }]) =>
      status === 'running' ? [name] : [],
    );
    const given = { completed: run.done.keys(), underWay };
    this.#scheduler = new Scheduler(scheduledStages(run.plan), run.capacity ?? settings.resources, given);
  }

  interrupt(reason: string, patienceSeconds?: number): void {
    if (patienceSeconds !== undefined) this.#budget.waitAtMost(patienceSeconds);
    this.#ending.interrupt(reason);
  }

  dropReplies(): void {
    this.#budget.dropReplies();
  }

  /** Runs to the end; never rejects. Called once. */
  async execute(): Promise<RunOutcome> {
    void this.#recorder.failed.then((error) => this.#fail(error));
    let released: Promise<void> = Promise.resolve();
    const releaseIdle = () => {
      // Others may wait for replies for as long as those take, and hardware is paid for meanwhile.
      const isAtWork = (name: string) => this.#atWork.has(name);
      released = this.#trainers.releaseIdle(isAtWork).catch((error: unknown) => this.#fail(error));
    };
    this.#ending.signal.addEventListener('abort', releaseIdle, { once: true });
    try {
      await this.#begin();
      await this.#runStages();
    } catch (error) {
      this.#fail(error);
    }
    await released;
    // Before the last event, for what they say as they end belongs into the log.
    for (const result of await Promise.allSettled(this.#resources.map((resource) => resource.end()))) {
      if (result.status === 'rejected') this.#fail(result.reason);
    }
    await this.#budget.close().catch((error: unknown) => this.#fail(error));
    let outcome: RunOutcome;
    try {
      outcome = await this.#conclude();
    } catch (error) {
      const { failure } = this.#recorder;
      outcome = { status: 'failed', error: toErrorRecord(failure === undefined ? error : this.#logError(failure)) };
    }
    await this.#sinks.close();
    return outcome;
  }

  async #begin(): Promise<void> {
    const { isResumed: resumed, namedPython: python } = this.#run;
    const data = { pid: process.pid, host: hostname(), resumed, ...present({ python }) };
    const started = await this.#recorder.emit({ type: 'run.started', data });
    this.#sinks.start(started.sequence);
    const log = this.#recorder.log({ source: 'engine' });
    for (const warning of this.#run.warnings) log.warning(warning);
    for (const [stage, outputs] of this.#outputs) await this.#stageRunner.link(stage, outputs);
    await this.#trainers.settleFormer();
    await this.#budget.begin();
  }

  /** Starts what can start, whenever something has ended, until nothing runs and nothing more can. */
  async #runStages(): Promise<void> {
    const active = new Set<Promise<void>>();
    const begin = (work: Promise<void>) => {
      const tracked = work.finally(() => active.delete(tracked));
      active.add(tracked);
    };
    for (;;) {
      if (!this.#ending.signal.aborted) {
        for (const name of this.#scheduler.takeUnblocked()) begin(this.#reuseOrEnqueue(name));
        for (const name of this.#scheduler.takeStartable()) {
          const goOn = this.#returning.get(name);
          if (goOn === undefined) begin(this.#execute(name));
          else goOn();
        }
      }
      if (active.size === 0) break;
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([...active, woken]);
    }
    if (!this.#scheduler.isDone && this.#ending.early === undefined) {
      throw new Error('Nothing runs, and yet stages are left: the plan is not in an order that runs.');
    }
  }

  /** The stage's inputs are there: it is done before, or it waits for its slots. Looking costs no slot. */
  async #reuseOrEnqueue(name: string): Promise<void> {
    try {
      const ready = this.#readyStage(name);
      this.#ready.set(name, ready);
      const outputs = await this.#stageRunner.reuse(ready);
      if (outputs === undefined) this.#scheduler.enqueue(name);
      else this.#done(name, outputs);
    } catch (error) {
      this.#fail(error, name);
    }
  }

  async #execute(name: string): Promise<void> {
    const ready = this.#ready.get(name)!;
    const { trainers } = ready.stage;
    for (const trainer of trainers) this.#atWork.add(trainer);
    try {
      this.#done(name, await this.#stageRunner.execute(ready));
    } catch (error) {
      this.#stageEnded(ready, error);
    } finally {
      for (const trainer of trainers) this.#atWork.delete(trainer);
      // Memory of a trainer that nobody needs any more is for the stages that follow.
      const isOver = this.#ending.signal.aborted;
      const unneeded = trainers.filter((trainer) => isOver || !this.#scheduler.isNeeded(trainer));
      await Promise.all(unneeded.map((trainer) => this.#trainers.release(trainer)));
      this.#scheduler.release(name);
    }
  }

  async #whileIdle<T>({ name, trainers }: PlannedStage, work: Promise<T>): Promise<T> {
    const isLong = !(await endsWithin(work, idleMilliseconds));
    const hasTrainer = this.#prepared.has(name) || this.#trainers.processIds(trainers).length > 0;
    if (isLong && !hasTrainer && !this.#lent.has(name)) {
      const lent = this.#lendSlots(name, work).finally(() => this.#lent.delete(name));
      this.#lent.set(name, lent);
    }
    await this.#lent.get(name);
    return work;
  }

  async #whilePreparing<T>(stage: PlannedStage, work: Promise<T>): Promise<T> {
    try {
      return await this.#whileIdle(stage, work);
    } finally {
      this.#prepared.add(stage.name);
    }
  }

  /** Resolves when the stage has its slots back. */
  async #lendSlots(name: string, meanwhile: Promise<unknown>): Promise<void> {
    this.#scheduler.suspend(name);
    this.#wake();
    await meanwhile;
    const returned = new Promise<void>((resolve) => this.#returning.set(name, resolve));
    this.#scheduler.enqueue(name);
    this.#wake();
    await abortable(returned, this.#ending.signal).finally(() => this.#returning.delete(name));
  }

  #readyStage(name: string): ReadyStage {
    const { plan, state } = this.#run;
    const stage = plan.stages.find((each) => each.name === name)!;
    const inputs = inputUris(stage, this.#outputs);
    if (inputs === undefined) throw new Error(`Stage "${name}" was given out before its inputs were there.`);
    return {
      stage,
      key: stageKey(stage, plan, inputDigests(inputs)),
      attempt: (state.stages[name]?.attempt ?? 0) + 1,
      inputs,
      whileIdle: (work) => this.#whileIdle(stage, work),
      whilePreparing: (work) => this.#whilePreparing(stage, work),
    };
  }

  #done(name: string, outputs: StageOutputUris): void {
    this.#outputs.set(name, outputs);
    this.#scheduler.complete(name);
  }

  /** A stage threw: because it was told to stop, or first of all. */
  #stageEnded({ stage, attempt }: ReadyStage, error: unknown): void {
    if (this.#recorder.failure !== undefined) {
      this.#fail(error);
    } else if (this.#ending.early === undefined) {
      const wrapped = stageError(stage, error, { home: this.#home, plugins: this.#run.plan.plugins });
      this.#fail(wrapped, stage.name);
      const data = { error: stageErrorRecord(wrapped) };
      this.#recorder.tell({ type: 'stage.failed', stage: stage.name, attempt, data });
    } else if (this.#recorder.state.stages[stage.name]?.status === 'running') {
      const data = { reason: this.#ending.reason };
      this.#recorder.tell({ type: 'stage.interrupted', stage: stage.name, attempt, data });
    }
  }

  /** The first error stands; where the log failed, that is the error, whoever came upon it. */
  #fail(error: unknown, stage?: string): void {
    const { failure } = this.#recorder;
    if (failure === undefined) this.#ending.fail(systemError(error), stage);
    else this.#ending.fail(this.#logError(failure));
  }

  async #conclude(): Promise<RunOutcome> {
    const reportPath = this.#ending.early === undefined ? await this.#sinks.beforeCompleted() : null;
    await this.#recorder.flushed();
    if (this.#recorder.failure !== undefined) throw this.#recorder.failure;
    const { early } = this.#ending;
    if (early === undefined) return this.#concludeCompleted(reportPath);
    if (early.kind === 'interrupted') {
      const { reason, error } = early;
      const data = { reason, ...(error === undefined ? {} : { error: toErrorRecord(error) }) };
      await this.#recorder.conclude({ type: 'run.interrupted', data });
      return { status: 'interrupted', ...data };
    }
    const { error: cause, stage } = early;
    const error = stage !== undefined && isUserError(cause) ? stageErrorRecord(cause) : toErrorRecord(cause);
    const failed = { error, ...(stage === undefined ? {} : { stage }) };
    await this.#recorder.conclude({ type: 'run.failed', data: failed });
    return { status: 'failed', ...failed };
  }

  async #concludeCompleted(reportPath: string | null): Promise<RunOutcome> {
    const { runId, plan } = this.#run;
    const { state } = this.#recorder;
    const stages = plan.stages.map(({ name }) => name);
    const metrics = Object.fromEntries(
      [...figuresByName(state.figures, stages)].map(([name, { figure }]) => [name, figure.value]),
    );
    const outputs = Object.fromEntries(
      stages.flatMap((name) =>
        Object.entries(this.#outputs.get(name) ?? {}).map(([output, uri]) => [`${name}.${output}`, uri]),
      ),
    );
    const data = { runId, reportPath, metrics, outputs, seconds: state.activeSeconds };
    await this.#recorder.conclude({ type: 'run.completed', data });
    return { status: 'completed', reportPath, metrics, outputs };
  }

  /** The log's failure as the run's: the machine is at fault. */
  #logError(error: unknown): UserError {
    if (isUserError(error)) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new UserError('log_failed', `The run's log can no longer be written: ${reason}`, {
      kind: 'environment',
      hint: `Mend the disk or free some space, then go on from the last event that was kept: simmer resume ${this.#run.runId}`,
      cause: error,
    });
  }
}
