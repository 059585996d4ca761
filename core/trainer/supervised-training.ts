import { randomUUID } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { status } from '@grpc/grpc-js';
import { isUserError, UserError } from '../errors.js';
import type { EventDraft } from '../events/catalogue.js';
import type { TrainerEvent } from '../generated/simmer/trainer/v1/trainer.js';
import type { Log } from '../plugin/log.js';
import { isAlive } from '../process/process-identity.js';
import { endsWithin, signalGroup } from '../process/terminate.js';
import { type Attempt, AttemptJournal, filesOf, hasFiles } from './attempt-journal.js';
import { type Checkpoint, newestCheckpoint } from './checkpoints.js';
import type { EventMemory } from './event-memory.js';
import type { TrainingRequest, TrainingResult } from './trainer.js';
import { TrainerClient } from './trainer-client.js';
import { grpcStatus } from './trainer-errors.js';
import type { TrainerProcess } from './trainer-process.js';
import { type TrainingEnd, toEvent } from './wire-to-domain.js';

/** How long a trainer may take for the checkpoint before a cancellation. */
const cancelSeconds = 120;
/** How long it may take to heed one before its first step: nothing would be saved then. */
const heedMilliseconds = 2_000;

/** A stage as training and supervision see it. */
export interface StageScope {
  readonly name: string;
  /** Ordinal of the stage's attempt in the run. */
  readonly attempt: number;
  /** The stage key. */
  readonly key: string;
  readonly scratchFolder: string;
  readonly signal: AbortSignal;
  /** Does what may take long and leaves the stage nothing to do meanwhile. */
  whileIdle?<T>(work: Promise<T>): Promise<T>;
}

/** What training needs of its supervisor. */
export interface TrainingHost {
  readonly trainer: string;
  readonly runId: string;
  readonly memory: EventMemory;
  readonly log: Log;
  /** Aborted when this core lets go of the trainer. */
  readonly left: AbortSignal;
  emit(...drafts: readonly EventDraft[]): Promise<unknown>;
  /** Everything of the attempt up to this number is durable. */
  acknowledge(attemptId: string, number: number): void;
  /** Runs a call on a living process; again on its successor where it dies. @throws UserError `trainer_exited` */
  onProcess<T>(signal: AbortSignal, call: (process: TrainerProcess) => Promise<T>): Promise<T>;
  /** Counts against the restarts. @throws the error where none is left */
  spendRestart(error: UserError): void;
}

/**
 * One training job of a stage: goes on with the attempt that is under way, or starts the next one from the newest
 * checkpoint, until one completes. What it must know over kills is in its folder.
 */
export class SupervisedTraining {
  /** Steps of checkpoints that the trainer does not go on from. */
  private readonly damaged = new Set<number>();

  private constructor(
    private readonly host: TrainingHost,
    private readonly stage: StageScope,
    private readonly request: TrainingRequest,
    private readonly outputFolder: string,
    private readonly journal: AttemptJournal,
    private readonly jobId: string,
  ) {}

  /** @param ordinal of the `train` call within the stage's attempt, from 1 */
  static async run(
    host: TrainingHost,
    stage: StageScope,
    request: TrainingRequest,
    ordinal: number,
  ): Promise<TrainingResult> {
    const job = `${host.trainer}-${ordinal}`;
    const folder = join(stage.scratchFolder, `training-${job}`);
    await mkdir(folder, { recursive: true });
    const journal = await AttemptJournal.open(folder);
    const training = new SupervisedTraining(host, stage, request, folder, journal, `${stage.key}-${job}`);
    return training.toTheEnd();
  }

  private async toTheEnd(): Promise<TrainingResult> {
    for (;;) {
      this.stage.signal.throwIfAborted();
      const finished = await this.finishedResult();
      if (finished !== undefined) return finished;
      const end = await this.host.onProcess(this.stage.signal, (process) =>
        this.heeding(process, this.nextEnd(process)),
      );
      // An attempt that is over without an end: the next round starts another.
      if (end === undefined || end.kind === 'completed') continue;
      this.stage.signal.throwIfAborted();
      if (end.kind === 'canceled') {
        this.host.spendRestart(
          new UserError('training_canceled', `Training was canceled: ${end.reason}.`, { kind: 'runFailed' }),
        );
      } else if (end.code === checkpointDamaged) {
        const checkpoint = await newestCheckpoint(this.outputFolder, this.damaged);
        if (checkpoint === undefined) throw trainingFailed(end);
        await this.leaveOut(checkpoint, end.message);
      } else if (end.code !== trainerExited) {
        const failure = trainingFailed(end);
        if (!end.retryable) throw failure;
        this.host.spendRestart(failure);
      }
    }
  }

  /** Ends a trainer that has begun nothing and does not heed a cancellation, such as one whose libraries are loading. */
  private async heeding<T>(process: TrainerProcess, call: Promise<T>): Promise<T> {
    const { signal } = this.stage;
    const heed = async () => {
      if (!(await endsWithin(call, heedMilliseconds)) && !this.host.memory.isTraining)
        await process.end().catch(() => {});
    };
    if (signal.aborted) void heed();
    signal.addEventListener('abort', heed, { once: true });
    try {
      return await call;
    } finally {
      signal.removeEventListener('abort', heed);
    }
  }

  /** The result of an attempt that completed and whose events are all in the log. */
  private async finishedResult(): Promise<TrainingResult | undefined> {
    const last = this.journal.last;
    if (last?.end?.kind !== 'completed') return undefined;
    const { kind, files, ...result } = last.end;
    if (last.runId === this.host.runId && !this.host.memory.attempt(last.attemptId).ended) return undefined;
    return (await hasFiles(result.modelFolder, files)) ? result : undefined;
  }

  /** Follows the attempt under way, or the next one, to its end. Undefined where the trainer does not know it. */
  private async nextEnd(process: TrainerProcess): Promise<TrainingEnd | undefined> {
    const last = this.journal.last;
    const isUnfinished = last?.end === undefined || last.end.kind === 'completed';
    if (last !== undefined && isUnfinished && !this.host.memory.attempt(last.attemptId).ended) {
      if (last.runId === this.host.runId) return this.followFormer(process, last);
      if (last.end === undefined) await this.takeOver(last, process);
    }
    return this.follow(process, await this.start(process));
  }

  private async start(process: TrainerProcess): Promise<string> {
    const canResume = process.description.capabilities.has('checkpoint');
    const checkpoint = canResume ? await newestCheckpoint(this.outputFolder, this.damaged) : undefined;
    const attemptId = randomUUID();
    const ordinal = (this.journal.last?.ordinal ?? 0) + 1;
    const { identity, address, token } = process;
    await this.cancelForgotten(process);
    await this.journal.started({
      attemptId,
      ordinal,
      runId: this.host.runId,
      trainer: { ...identity, address, ...(token === undefined ? {} : { token }) },
    });
    try {
      await process.client.startTraining(
        this.request,
        {
          attemptId,
          jobId: this.jobId,
          ordinal,
          outputFolder: this.outputFolder,
          ...(checkpoint === undefined ? {} : { resumeFrom: checkpoint.folder }),
        },
        this.host.left,
      );
    } catch (error) {
      if (checkpoint === undefined || !isUserError(error) || error.code !== checkpointDamaged) throw error;
      await this.journal.ended(attemptId, { kind: 'failed' });
      await this.leaveOut(checkpoint, error.message);
      return this.start(process);
    }
    this.host.log.info(`Trainer ${this.host.trainer} reads rows and loads the model.`);
    return attemptId;
  }

  /** The one before it is taken, and without any the job begins anew: that is all there is left of it. */
  private async leaveOut({ step }: Checkpoint, why: string): Promise<void> {
    this.damaged.add(step);
    const before = await newestCheckpoint(this.outputFolder, this.damaged);
    const instead = before === undefined ? 'training begins anew' : 'the one before it is';
    this.host.log.warning(`The checkpoint of step ${step} cannot be used, and ${instead}: ${why}`);
  }

  /**
   * Ends an attempt that this training's journal does not know: a former core started it under another stage key, and the
   * plugin's code, which the key covers, changed before this one came.
   */
  private async cancelForgotten(process: TrainerProcess): Promise<void> {
    const { runningAttemptId } = await process.client.describe(this.host.left);
    if (runningAttemptId === undefined) return;
    await process.client.cancel(runningAttemptId, { checkpointFirst: false, seconds: cancelSeconds });
  }

  /**
   * Goes on with an attempt that a former core, or a former process of the trainer, had. That it was canceled then, by
   * its lease or with that core, is nothing to count.
   */
  private async followFormer(process: TrainerProcess, attempt: Attempt): Promise<TrainingEnd | undefined> {
    let end: TrainingEnd | undefined;
    try {
      end = await this.follow(process, attempt.attemptId);
    } catch (error) {
      // It was never started, or its events are gone with its trainer.
      const code = grpcStatus(error);
      if (code !== status.NOT_FOUND && code !== status.OUT_OF_RANGE) throw error;
    }
    if (end === undefined) {
      await this.journal.ended(attempt.attemptId, { kind: 'lost' });
      this.host.memory.attempt(attempt.attemptId).ended = true;
    }
    return end?.kind === 'canceled' ? undefined : end;
  }

  /** Brings an attempt's events into the log, to the last one. Each is acknowledged to the trainer when it is durable. */
  private async follow(process: TrainerProcess, attemptId: string): Promise<TrainingEnd | undefined> {
    const { signal } = this.stage;
    const known = this.host.memory.attempt(attemptId);
    const cancel = () => {
      process.client
        .cancel(attemptId, { checkpointFirst: true, seconds: cancelSeconds })
        .catch(() => this.giveUp.abort());
    };
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    const stop = AbortSignal.any([this.host.left, this.giveUp.signal]);
    let end: TrainingEnd | undefined;
    const unfinished: { readonly durable: Promise<void>; readonly events: number }[] = [];
    let eventsInFlight = 0;
    try {
      for await (const batch of process.client.watch(attemptId, known.lastNumber, stop)) {
        const { end: ended, durable } = await this.record(batch, attemptId, process);
        end = ended ?? end;
        unfinished.push({ durable, events: batch.length });
        eventsInFlight += batch.length;
        while (eventsInFlight >= mostEventsInFlight) {
          const first = unfinished.shift();
          await first?.durable;
          eventsInFlight -= first?.events ?? eventsInFlight;
        }
      }
      await Promise.all(unfinished.map(({ durable }) => durable));
    } catch (error) {
      if (this.giveUp.signal.aborted) signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
    if (end !== undefined && end.kind !== 'completed') await this.journal.ended(attemptId, { kind: end.kind });
    return end;
  }

  /** Aborted where the trainer does not heed a cancellation. */
  private readonly giveUp = new AbortController();

  private async record(
    batch: readonly TrainerEvent[],
    attemptId: string,
    process: TrainerProcess,
  ): Promise<{ readonly end: TrainingEnd | undefined; readonly durable: Promise<void> }> {
    const { memory } = this.host;
    const known = memory.attempt(attemptId);
    const context = {
      stage: this.stage.name,
      attempt: this.stage.attempt,
      attemptId,
      trainer: this.host.trainer,
      totalSteps: known.totalSteps,
    };
    const drafts: EventDraft[] = [];
    let end: TrainingEnd | undefined;
    for (const message of batch) {
      const number = Number(message.number);
      // Sent again after a broken stream.
      if (number <= known.lastNumber) continue;
      if (number !== known.lastNumber + 1) {
        throw new Error(`trainer ${this.host.trainer} sent event ${number} after ${known.lastNumber} of ${attemptId}`);
      }
      known.lastNumber = number;
      const event = toEvent(message, context);
      if (event === undefined) continue;
      if (event.end !== undefined) {
        end = event.end;
        if (end.kind === 'completed') await this.completed(attemptId, end);
      }
      drafts.push(event.draft);
      if (event.draft.type === 'checkpoint.saved') this.damaged.delete(event.draft.data.step);
      const divergence = this.divergence(event.draft, process);
      if (divergence !== undefined) drafts.push(divergence);
      memory.see(event.draft, attemptId);
    }
    const upTo = known.lastNumber;
    const durable = this.host.emit(...drafts).then(() => this.host.acknowledge(attemptId, upTo));
    // Whoever follows waits for it, if not at once.
    durable.catch(() => undefined);
    return { end, durable };
  }

  private async completed(attemptId: string, end: Extract<TrainingEnd, { kind: 'completed' }>): Promise<void> {
    await this.requireOwn(end.modelFolder);
    await this.journal.ended(attemptId, { ...end, files: await filesOf(end.modelFolder) });
  }

  /** What is trained becomes an artifact in its place: another folder, such as the base model's, would be gone from there. */
  private async requireOwn(modelFolder: string): Promise<void> {
    const real = (path: string) => realpath(path).catch(() => resolve(path));
    if (`${await real(modelFolder)}${sep}`.startsWith(`${await real(this.outputFolder)}${sep}`)) return;
    const message = `Trainer "${this.host.trainer}" names ${modelFolder} as what it has trained, which is not in its output folder.`;
    throw new UserError('model_misplaced', message, {
      kind: 'runFailed',
      hint: 'This is a mistake in the trainer: tell its author. `simmer trainer verify` finds it.',
    });
  }

  private divergence(draft: EventDraft, process: TrainerProcess): EventDraft | undefined {
    if (draft.type !== 'step.logged' || !draft.data.rerun || draft.data.loss === null) return undefined;
    if (!process.description.capabilities.has('deterministicResume')) return undefined;
    const before = this.host.memory.lossOf(this.stage.name, draft.data.step);
    if (before === undefined || before === draft.data.loss) return undefined;
    return {
      type: 'step.diverged',
      stage: this.stage.name,
      attempt: this.stage.attempt,
      data: { step: draft.data.step, before, after: draft.data.loss },
    };
  }

  /**
   * Ends an attempt of another run, whose core is gone (the engine lets only one at a stage key), so that two trainers
   * never write into one folder. It saves a checkpoint, from which we go on.
   */
  private async takeOver(attempt: Attempt, current: TrainerProcess): Promise<void> {
    const { trainer, attemptId } = attempt;
    if (trainer.pid !== current.pid && (await isAlive(trainer))) {
      const client = new TrainerClient(this.host.trainer, trainer.address, trainer.token);
      try {
        await client.cancel(attemptId, { checkpointFirst: true, seconds: cancelSeconds });
        await client.shutdown(cancelSeconds);
      } catch {
        if (await isAlive(trainer)) signalGroup(trainer.pid, 'SIGKILL');
      } finally {
        client.close();
      }
    }
    await this.journal.ended(attemptId, { kind: 'lost' });
  }
}

/** Events that may wait for the disk while the next are read: one sync then serves many, however they are batched. */
const mostEventsInFlight = 8192;

/** The code with which a trainer closes the attempts that a killed process left in its journal. */
const trainerExited = 'trainer_exited';

/** The code with which a trainer refuses a checkpoint that is not as it was written. */
const checkpointDamaged = 'checkpoint_damaged';

function trainingFailed(end: Extract<TrainingEnd, { kind: 'failed' }>): UserError {
  const hint =
    end.code === 'out_of_memory'
      ? 'Lower deviceBatchSize or maxSequenceLength, or turn gradientCheckpointing on; then resume the run.'
      : undefined;
  return new UserError('training_failed', `Training failed (${end.code}): ${end.message}`, {
    kind: 'runFailed',
    ...(hint === undefined ? {} : { hint }),
  });
}
