import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isUserError, UserError } from '../errors.js';
import type { EventDraft } from '../events/catalogue.js';
import { formatCounted } from '../figures.js';
import type { LauncherDefinition, PrepareContext, TrainerCommand, TrainerDefinition } from '../plugin/definitions.js';
import type { Log } from '../plugin/log.js';
import { describeExit } from '../process/handshake.js';
import type { ProcessExit } from '../process/spawn-detached.js';
import { endsWithin } from '../process/terminate.js';
import type { PlannedTrainer } from '../recipe/plan.js';
import { CallQueue } from './call-queue.js';
import type { EventMemory } from './event-memory.js';
import type { GpuDevices } from './gpu-devices.js';
import { superviseGeneration } from './supervised-generation.js';
import { type StageScope, SupervisedTraining, type TrainingHost } from './supervised-training.js';
import type { GenerationEvent, GenerationRequest, Trainer } from './trainer.js';
import { TrainerLostError } from './trainer-errors.js';
import { lastErrorLinesIn, type TrainerPlace, TrainerProcess } from './trainer-process.js';

const defaultStartSeconds = 180;
/** How long the process may take to answer that it ends where it has nothing to save. */
const idleAnswerMilliseconds = 2_000;
/** How long an end of the process may take to be seen after a call broke off. */
const exitNoticeMilliseconds = 2_000;
/** How often a living, healthy trainer may break off calls before that is taken for its fault. */
const brokenCallsBorne = 5;

/** How long a trainer lives without a core, in seconds, where nothing else is said. */
export function defaultLeaseSeconds(): number {
  return Number(process.env.SIMMER_LEASE_SECONDS) || 60;
}

export interface TrainerSupervisorOptions {
  readonly planned: PlannedTrainer;
  readonly definition: TrainerDefinition;
  readonly launcher: LauncherDefinition;
  readonly runId: string;
  readonly runFolder: string;
  readonly cacheFolder: string;
  readonly recipeFolder: string;
  /** Of this machine. Absent: the trainer sees all there are. */
  readonly gpus?: GpuDevices;
  /** The Python that the user's settings name. */
  readonly python?: string;
  /** Facts are durable when it resolves. */
  emit(...drafts: readonly EventDraft[]): Promise<unknown>;
  /**
   * Has seen what the run's log holds already. Facts are enough to take a running trainer up; for no training event to be
   * recorded twice it must have seen telemetry, too.
   */
  readonly memory: EventMemory;
  /** How often this core starts the trainer again after it died. @default 2 */
  readonly maxRestarts?: number;
  /** How long the trainer lives without a core. @default SIMMER_LEASE_SECONDS, or 60 */
  readonly leaseSeconds?: number;
  /** How long the trainer may take to end, its checkpoint included. @default 30000 */
  readonly graceMilliseconds?: number;
}

/**
 * Owns one trainer of a run: starts its process at first use, or takes up the one that a former core started, keeps it
 * alive, notices its end and starts it again a bounded number of times. Calls run one after the other.
 */
export class TrainerSupervisor {
  private readonly memory: EventMemory;
  private readonly queue = new CallQueue();
  private readonly left = new AbortController();
  private readonly folder: string;
  private current: TrainerProcess | undefined;
  /** Told when the end of `current` is in the log. */
  private currentEnded: Promise<void> = Promise.resolve();
  private starting: Promise<unknown> = Promise.resolve();
  private lastExit: { readonly exit: ProcessExit; readonly lines: readonly string[] } | undefined;
  private tookUp = false;
  private restarts = 0;
  private brokenCalls = 0;
  /** By attempt of a stage: whether it was said what its first tokens wait for. */
  private readonly toldGeneration = new Set<string>();
  /** How many trainings each attempt of a stage asked for. */
  private readonly trainings = new Map<string, number>();
  private acknowledged: { attemptId: string; number: number } | undefined;

  constructor(private readonly options: TrainerSupervisorOptions) {
    this.memory = options.memory;
    this.folder = join(options.runFolder, 'trainers', options.planned.name);
  }

  /** The trainer as one stage sees it. */
  forStage(stage: StageScope): Trainer {
    const { name } = this.options.planned;
    const signal = AbortSignal.any([stage.signal, this.left.signal]);
    const call = <T>(run: (process: TrainerProcess) => Promise<T>) =>
      this.queue.run(signal, () => this.onProcess(stage, signal, run));
    return {
      name,
      describe: () => call(async (process) => process.description),
      train: (request) => {
        const ordinal = this.nextTraining(stage);
        return this.queue.run(signal, () => SupervisedTraining.run(this.trainingHost(stage), stage, request, ordinal));
      },
      generate: (request) => this.generate(request, stage, signal),
      export: (request) => call((process) => process.client.export(request, signal)),
      inspect: (request, rows) => call((process) => process.client.inspect(request, rows, signal)),
    };
  }

  /** Processes whose memory is the trainer's. */
  processIds(): readonly number[] {
    return this.current === undefined || this.current.hasEnded ? [] : [this.current.pid];
  }

  /**
   * Ends the supervision. `shutdown` ends the process, too: what it trains saves a checkpoint first. `leave` lets it run
   * on for a later core; its lease ends it where none comes.
   */
  async dispose(how: 'shutdown' | 'leave'): Promise<void> {
    this.left.abort(new Error(`the core let go of trainer ${this.options.planned.name}`));
    await this.starting;
    const process = this.current;
    if (process === undefined || process.hasEnded) {
      await this.currentEnded;
    } else if (how === 'leave') {
      process.leave();
    } else {
      const answer = this.memory.isTraining ? undefined : idleAnswerMilliseconds;
      await process.stop(this.options.graceMilliseconds ?? 30_000, answer);
      await this.currentEnded;
    }
  }

  /** The same job has the same ordinal in each attempt: by that its checkpoints are found again. */
  private nextTraining(stage: StageScope): number {
    const key = attemptOf(stage);
    const ordinal = (this.trainings.get(key) ?? 0) + 1;
    this.trainings.set(key, ordinal);
    return ordinal;
  }

  private async *generate(
    request: GenerationRequest,
    stage: StageScope,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const leave = await this.queue.enter(signal);
    try {
      yield* superviseGeneration(
        {
          process: async () => {
            const process = await this.process(stage, signal);
            this.tellGeneration(stage);
            return process;
          },
          recover: (process, error) => this.recover(process, error),
        },
        request,
        signal,
      );
    } finally {
      leave();
    }
  }

  /** Of a stage that asks several times, the model is loaded for the first. */
  private tellGeneration(stage: StageScope): void {
    const key = attemptOf(stage);
    if (this.toldGeneration.has(key)) return;
    this.toldGeneration.add(key);
    this.log(stage).info(`Trainer ${this.options.planned.name} loads the model.`);
  }

  private trainingHost(stage: StageScope): TrainingHost {
    return {
      log: this.log(stage),
      trainer: this.options.planned.name,
      runId: this.options.runId,
      memory: this.memory,
      left: this.left.signal,
      emit: this.options.emit,
      acknowledge: (attemptId, number) => {
        this.acknowledged = { attemptId, number };
      },
      onProcess: (signal, call) => this.onProcess(stage, AbortSignal.any([signal, this.left.signal]), call),
      spendRestart: (error) => this.spendRestart(error),
    };
  }

  /** Runs a call on a living process, and again on its successor where it dies meanwhile. */
  private async onProcess<T>(
    stage: StageScope,
    signal: AbortSignal,
    call: (process: TrainerProcess) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const process = await this.process(stage, signal);
      try {
        const result = await call(process);
        this.brokenCalls = 0;
        return result;
      } catch (error) {
        if (!(error instanceof TrainerLostError)) throw error;
        signal.throwIfAborted();
        await this.recover(process, error);
      }
    }
  }

  /** Finds out why a call broke off; returns where it may be tried again. */
  private async recover(process: TrainerProcess, error: TrainerLostError): Promise<void> {
    if (await endsWithin(process.exited, exitNoticeMilliseconds)) return;
    if (await process.client.isHealthy(5_000)) {
      this.brokenCalls += 1;
      if (this.brokenCalls > brokenCallsBorne) throw error;
      return;
    }
    // It lives and does not answer: nothing but a new process helps.
    await process.launched.terminate(2_000);
  }

  /** The process that serves: the one at hand, one to take up, or a new one. */
  private async process(stage: StageScope, signal: AbortSignal): Promise<TrainerProcess> {
    signal.throwIfAborted();
    if (this.current !== undefined && !this.current.hasEnded) return this.current;
    const starting = this.next(stage, signal);
    this.starting = starting.catch(() => {});
    return starting;
  }

  private async next(stage: StageScope, signal: AbortSignal): Promise<TrainerProcess> {
    await this.currentEnded;
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    if (!this.tookUp) {
      this.tookUp = true;
      const former = await this.takeUp(stage, signal);
      if (former !== undefined) return former;
    }
    if (this.lastExit !== undefined) this.spendRestart(this.exitError(this.lastExit));
    return this.start(stage, signal);
  }

  private async takeUp(stage: StageScope, signal: AbortSignal): Promise<TrainerProcess | undefined> {
    const { name } = this.options.planned;
    const former = await TrainerProcess.attach(await this.place(stage, signal));
    if (former !== undefined) {
      this.adopt(former);
      await this.tell({
        type: 'trainer.attached',
        data: { trainer: name, pid: former.pid, address: former.address },
      });
      return former;
    }
    if (this.memory.running !== undefined) {
      // It ended while no core was there to see it.
      const { pid } = this.memory.running;
      const lines = await lastErrorLinesIn(this.folder);
      await this.tell({
        type: 'trainer.exited',
        data: { trainer: name, pid, exitCode: null, signal: null, expected: false, lastLines: lines },
      });
    }
    return undefined;
  }

  private async start(stage: StageScope, signal: AbortSignal): Promise<TrainerProcess> {
    const { planned, definition } = this.options;
    // Awaited also when the run ends early: it removes what it has made by half.
    const preparing = definition.prepare(planned.options, this.prepareContext(stage, signal));
    const command = await (stage.whileIdle?.(preparing) ?? preparing);
    signal.throwIfAborted();
    const start = this.memory.starts + 1;
    this.log(stage).info(`Starting trainer ${planned.name}.`);
    const process = await this.startUntilItServes(command, start, await this.place(stage, signal));
    const { pid, address, description } = process;
    const started = this.tell({ type: 'trainer.started', data: { trainer: planned.name, pid, address, start } });
    this.adopt(process, started);
    await started;
    await this.tell({
      type: 'trainer.described',
      data: {
        trainer: planned.name,
        version: description.version,
        versions: description.versions,
        devices: description.devices.map((device) => `${device.name} (${device.model})`),
      },
    });
    return process;
  }

  /** One that somebody kills before it serves is started again; one that ends by itself would do so again. */
  private async startUntilItServes(
    command: TrainerCommand,
    start: number,
    place: TrainerPlace,
  ): Promise<TrainerProcess> {
    for (;;) {
      try {
        return await TrainerProcess.start(place, command, start);
      } catch (error) {
        if (!(error instanceof TrainerLostError && isUserError(error.cause))) throw error;
        this.spendRestart(error.cause);
      }
    }
  }

  /** Watches over a process from here on. */
  private adopt(process: TrainerProcess, announced: Promise<unknown> = Promise.resolve()): void {
    this.current = process;
    process.keepAlive(() => this.acknowledged);
    this.currentEnded = process.exited.then(async (exit) => {
      const expected = process.stopping;
      const lines = expected ? [] : await process.lastErrorLines();
      if (!expected) this.lastExit = { exit, lines };
      await announced.catch(() => {});
      const draft: EventDraft = {
        type: 'trainer.exited',
        data: { trainer: this.options.planned.name, pid: process.pid, ...exit, expected, lastLines: lines },
      };
      // A log that takes no more events has ended the run already.
      if (!this.left.signal.aborted || expected) await this.tell(draft).catch(() => {});
    });
  }

  private async tell(draft: EventDraft): Promise<void> {
    await this.options.emit(draft);
    this.memory.see(draft);
  }

  private spendRestart(error: UserError): void {
    if (this.restarts >= (this.options.maxRestarts ?? 2)) throw error;
    this.restarts += 1;
  }

  private exitError({ exit, lines }: { exit: ProcessExit; lines: readonly string[] }): UserError {
    const { name } = this.options.planned;
    const times = this.restarts === 0 ? '' : ` It was restarted ${formatCounted(this.restarts, 'time')}.`;
    return new UserError(
      'trainer_exited',
      [
        `Trainer ${name} ended with ${describeExit(exit)}.${times}`,
        ...lines.slice(-12).map((line) => `  ${line}`),
      ].join('\n'),
      {
        kind: 'runFailed',
        hint:
          exit.signal === 'SIGKILL'
            ? 'SIGKILL mostly means that the machine ran out of memory: lower the batch size or the sequence length.'
            : `Its whole output is in ${this.folder}.`,
      },
    );
  }

  private async place(stage: StageScope, signal: AbortSignal): Promise<TrainerPlace> {
    const { planned, launcher, leaseSeconds, gpus } = this.options;
    const startSeconds = (await launcher.startSeconds?.(planned.launcher.options)) ?? defaultStartSeconds;
    return {
      trainer: planned.name,
      folder: this.folder,
      launcher,
      launcherOptions: planned.launcher.options,
      resources: planned.resources,
      ...(gpus === undefined ? {} : { gpus }),
      leaseSeconds: leaseSeconds ?? defaultLeaseSeconds(),
      handshakeMilliseconds: startSeconds * 1000,
      signal,
      log: this.log(stage),
    };
  }

  private log(stage: StageScope): Log {
    const { emit, planned } = this.options;
    const log = (level: 'debug' | 'info' | 'warning' | 'error') => (message: string) => {
      const data = { level, source: `trainer ${planned.name}`, message };
      void emit({ type: 'log.written', ...placeOf(stage), data }).catch(() => {});
    };
    return { debug: log('debug'), info: log('info'), warning: log('warning'), error: log('error') };
  }

  private prepareContext(stage: StageScope, signal: AbortSignal): PrepareContext {
    const { cacheFolder, recipeFolder, python, emit } = this.options;
    return {
      log: this.log(stage),
      signal,
      cacheFolder,
      recipeFolder,
      ...(python === undefined ? {} : { python }),
      emit: async (event) => {
        await emit({ ...event, ...placeOf(stage) });
      },
    };
  }
}

function attemptOf({ name, attempt }: StageScope): string {
  return `${name}/${attempt}`;
}

function placeOf(stage: StageScope): { readonly stage: string; readonly attempt: number } {
  return { stage: stage.name, attempt: stage.attempt };
}
