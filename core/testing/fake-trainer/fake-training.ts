import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../deferred.js';
import {
  type CheckpointSaved,
  Hyperparameters,
  Method,
  Precision,
  type StartTrainingRequest,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { checkpointMarker, newestCheckpoint } from '../../trainer/checkpoints.js';
import type { AttemptEvents, Payload } from './event-journal.js';
import { type FakeModel, readFakeModel, trainedModel, writeFakeModel } from './fake-model.js';
import { FakeSteps } from './fake-steps.js';
import type { Misbehavior } from './misbehavior.js';
import { checkpointState, type OutputClaim } from './start-request.js';
import { messageFaults, readTrainingRows, type TrainingRows } from './training-rows.js';

/** How one is asked to end. */
interface Stop {
  readonly reason: string;
  readonly checkpointFirst: boolean;
}

/** What its trainer says of it. */
interface Host {
  /** Ends the process, unless it did so often enough. */
  crash(): void;
  /** Whether it is to wait after this step, until it goes on. */
  hasToHold(): boolean;
}

/** One attempt that 'trains': what its steps tell depends on its request alone, so that a resume gives the same again. */
export class FakeTraining {
  readonly ended: Promise<void>;
  private stop: Stop | undefined;
  private readonly checkpointRequests: ((checkpoint: CheckpointSaved | Error) => void)[] = [];
  private readonly goingOn = deferred<void>();
  private step = 0;
  /** The last step that this attempt has saved. */
  private savedStep = 0;
  /** When it saved that, or began. */
  private savedAt = performance.now();
  private best: { readonly step: number; readonly loss: number } | undefined;
  private lastEvaluation: number | undefined;
  /** How many evaluations there were since one was better by as much as it must be. */
  private sinceBetter = 0;

  /** @param ranBefore the last step that an earlier attempt of the job logged */
  constructor(
    private readonly request: StartTrainingRequest,
    private readonly events: AttemptEvents,
    private readonly ranBefore: number,
    private readonly misbehavior: Misbehavior,
    private readonly claim: OutputClaim,
    private readonly host: Host,
  ) {
    this.ended = this.run().catch((error: unknown) => {
      const code = error instanceof AttemptError ? error.code : 'internal';
      this.fail(code, error instanceof Error ? error.message : String(error));
    });
  }

  get attemptId(): string {
    return this.request.attemptId;
  }

  /** Asks it to end at the next step boundary. */
  cancel(stop: Stop): void {
    this.stop ??= stop;
    this.goOn();
  }

  /** Ends its wait after a step, now or later. */
  goOn(): void {
    this.goingOn.resolve();
  }

  /** A checkpoint at the next step boundary. */
  checkpoint(): Promise<CheckpointSaved> {
    return new Promise((resolve, reject) => {
      this.checkpointRequests.push((made) => (made instanceof Error ? reject(made) : resolve(made)));
    });
  }

  private async run(): Promise<void> {
    const parameters = this.request.hyperparameters as Hyperparameters;
    let rows: TrainingRows;
    let model: FakeModel;
    try {
      rows = await this.readRows();
      model = await readFakeModel(this.request.model);
    } catch (error) {
      return this.fail('data_invalid', (error as Error).message);
    }
    if (rows.hasMessages && this.misbehavior.breaks === 'stumblesOverMessages') return this.fail('internal', 'no text');
    const epochs = this.misbehavior.breaks === 'ignoresEpochs' ? 1 : parameters.epochs;
    const totalSteps = parameters.maxSteps ?? Math.max(1, Math.ceil(this.stepsPerEpoch(rows) * epochs));
    const start = { trained: model.trained, hasAllRows: this.stepsPerEpoch(rows) === 1 };
    const steps = new FakeSteps(parameters, totalSteps, start, this.misbehavior);
    const cut = rows.truncated / rows.count;
    if (cut > (parameters.maxTruncatedShare ?? 1) && this.misbehavior.breaks !== 'ignoresTruncatedShare') {
      return this.fail(
        'data_invalid',
        `${rows.truncated} of ${rows.count} rows are cut, more than max_truncated_share`,
      );
    }
    const resumedAfterStep = await this.resumeStep();
    const adapter = this.adapterOf(parameters);
    const { deviceBatchSize = parameters.globalBatchSize } = parameters;
    const started = performance.now();
    const beginning: Payload = {
      $case: 'trainingStarted',
      value: {
        resumedAfterStep,
        totalSteps,
        rows: rows.count,
        tokens: BigInt(rows.tokens),
        trainedTokens: BigInt(rows.trainedTokens),
        truncatedRows: rows.truncated,
        parameters: 32n,
        trainedParameters: adapter === undefined ? 32n : BigInt(2 * adapter.rank * adapter.modules.length),
        precision: this.precisionOf(parameters),
        rowsPerPass: this.misbehavior.breaks === 'ignoresDeviceBatch' ? parameters.globalBatchSize : deviceBatchSize,
      },
    };
    if (this.misbehavior.breaks !== 'startsLate') this.events.add(beginning);
    for (this.step = resumedAfterStep; this.step < totalSteps; ) {
      if (this.misbehavior.hangAtStep === this.step + 1) await new Promise(() => {});
      await (this.misbehavior.stepMilliseconds > 0 ? sleep(this.misbehavior.stepMilliseconds) : nextTurn());
      this.step += 1;
      this.logStep(parameters, totalSteps, steps, rows);
      if (this.misbehavior.breaks === 'startsLate' && this.step === resumedAfterStep + 1) this.events.add(beginning);
      if (this.hasDiverged(parameters, steps)) return this.fail('loss_diverged', 'the loss rises by max_loss_rise');
      const hasStoppedEarly = this.evaluate(parameters, steps);
      if (this.misbehavior.failAtStep === this.step) {
        return this.fail('out_of_memory', 'there is not enough memory for this batch');
      }
      if (this.host.hasToHold()) await this.goingOn.promise;
      if (this.isCheckpointDue(parameters) || this.checkpointRequests.length > 0 || this.stop?.checkpointFirst)
        await this.saveCheckpoint(parameters);
      if (this.misbehavior.crashAtStep === this.step) this.host.crash();
      if (this.stop !== undefined) return this.canceled(this.stop);
      if (hasStoppedEarly) break;
    }
    if (this.savedStep < this.step) await this.saveCheckpoint(parameters);
    await this.checkClaim();
    const modelFolder = join(this.request.outputFolder, 'model');
    await rm(modelFolder, { recursive: true, force: true });
    const best = parameters.keepBest && this.misbehavior.breaks !== 'ignoresKeepBest' ? this.best : undefined;
    const bestStep = best?.step === this.step ? undefined : best?.step;
    if (this.misbehavior.breaks !== 'leavesNoModel') {
      const how = JSON.stringify(Hyperparameters.toJSON(parameters));
      const trained = steps.trained(
        this.misbehavior.breaks === 'keepsLastAsBest' ? this.step : (bestStep ?? this.step),
      );
      const final = trainedModel(model, how, totalSteps, trained);
      const tensors = adapter?.modules.map((name) => `base_model.model.layers.0.${name}.lora_A.weight`);
      await writeFakeModel(modelFolder, this.misbehavior.breaks === 'leavesInitialModel' ? model : final, tensors);
    }
    this.events.add({
      $case: 'trainingCompleted',
      value: {
        steps: this.step,
        stoppedEarly: this.step < totalSteps,
        bestStep,
        evaluationLoss: best?.loss ?? this.lastEvaluation,
        modelFolder:
          this.misbehavior.breaks === 'namesAnotherFolder' ? dirname(this.request.trainingData) : modelFolder,
        seconds: (performance.now() - started) / 1000,
        finalLoss: steps.loss(this.step),
        peakMemoryBytes: BigInt(process.memoryUsage.rss()),
      },
    });
    this.refuseCheckpoints();
  }

  private async readRows(): Promise<TrainingRows> {
    try {
      const { maxSequenceLength = 0 } = this.request.hyperparameters ?? {};
      const limit = this.misbehavior.breaks === 'ignoresSequenceLength' ? 0 : maxSequenceLength;
      const fault = messageFaults.find((fault) => fault === this.misbehavior.breaks);
      return await readTrainingRows(this.request.trainingData, limit, fault);
    } catch (error) {
      if (this.misbehavior.breaks !== 'trainsOnNothing') throw error;
      return { count: 1, tokens: 2, trainedTokens: 1, truncated: 0, hasMessages: false, at: async () => [] };
    }
  }

  private logStep(parameters: Hyperparameters, totalSteps: number, steps: FakeSteps, rows: TrainingRows): void {
    const every = this.misbehavior.breaks === 'logsEveryStep' ? 1 : Math.max(1, parameters.logEverySteps);
    if (this.step % every !== 0 && this.step !== totalSteps) return;
    const stepsPerEpoch = this.stepsPerEpoch(rows);
    const wholeEpochs = Math.floor(this.step / stepsPerEpoch);
    const seen = wholeEpochs * rows.count + (this.step % stepsPerEpoch) * parameters.globalBatchSize;
    this.events.add({
      $case: 'stepLogged',
      value: {
        step: this.step,
        epoch: seen / rows.count,
        loss: steps.loss(this.step),
        learningRate: steps.learningRate(this.step),
        gradientNorm: steps.gradientNorm,
        tokensSeen: BigInt(Math.round((seen * rows.tokens) / rows.count)),
        tokensPerSecond: 1000,
        peakMemoryBytes: BigInt(process.memoryUsage.rss()),
        rerun: this.step <= this.ranBefore && this.misbehavior.breaks !== 'forgetsReruns',
        rowsSeen: BigInt(this.misbehavior.breaks === 'miscounts' ? seen + 1 : seen),
      },
    });
  }

  /** The last of them may be short. */
  private stepsPerEpoch(rows: TrainingRows): number {
    const batches = rows.count / (this.request.hyperparameters?.globalBatchSize ?? 1);
    return this.misbehavior.breaks === 'dropsLastBatch' ? Math.max(1, Math.floor(batches)) : Math.ceil(batches);
  }

  private hasDiverged({ maxLossRise }: Hyperparameters, steps: FakeSteps): boolean {
    if (maxLossRise === undefined || this.misbehavior.breaks === 'ignoresLossRise') return false;
    return steps.lossRise(this.step) > maxLossRise;
  }

  /** @returns whether it is the last one, for lack of better ones */
  private evaluate(parameters: Hyperparameters, steps: FakeSteps): boolean {
    const { breaks } = this.misbehavior;
    const { evaluateEverySteps, earlyStoppingMinImprovement, earlyStoppingPatience } = parameters;
    if (evaluateEverySteps === 0 || this.step % evaluateEverySteps !== 0 || breaks === 'ignoresEvaluation')
      return false;
    const loss = steps.evaluationLoss(this.step, this.request.evaluationData === this.request.trainingData);
    const isBetter = loss < (this.best?.loss ?? Number.POSITIVE_INFINITY);
    const least = breaks === 'ignoresMinImprovement' ? 0 : earlyStoppingMinImprovement;
    const isMuchBetter = loss < (this.best?.loss ?? Number.POSITIVE_INFINITY) - least;
    this.sinceBetter = isMuchBetter ? 0 : this.sinceBetter + 1;
    if (isBetter) this.best = { step: this.step, loss };
    this.lastEvaluation = loss;
    const best = isBetter || breaks === 'tellsAllBest';
    this.events.add({ $case: 'evaluationLogged', value: { step: this.step, loss, best } });
    const isPatient = earlyStoppingPatience === 0 || breaks === 'ignoresEarlyStopping';
    return !isPatient && this.sinceBetter >= earlyStoppingPatience;
  }

  private adapterOf({ method, lora }: Hyperparameters): { rank: number; modules: readonly string[] } | undefined {
    const { breaks } = this.misbehavior;
    if (![Method.METHOD_LORA, Method.METHOD_QLORA].includes(method) || breaks === 'ignoresMethod') return undefined;
    const { rank = 2, targetModules = [] } = lora ?? {};
    const areAll = targetModules.length === 0 || breaks === 'ignoresTargetModules';
    return { rank: breaks === 'ignoresRank' ? 2 : rank, modules: areAll ? ['q_proj', 'v_proj'] : targetModules };
  }

  private precisionOf({ precision }: Hyperparameters): Precision {
    const isTold = precision !== Precision.PRECISION_UNSPECIFIED && this.misbehavior.breaks !== 'ignoresPrecision';
    return isTold ? precision : Precision.PRECISION_FLOAT32;
  }

  private async resumeStep(): Promise<number> {
    if (this.request.resumeFrom === undefined) return 0;
    const isHeedless = this.misbehavior.breaks === 'resumesFromAnything';
    const text = await readFile(join(this.request.resumeFrom, checkpointMarker), 'utf8').catch((error: Error) => {
      if (isHeedless) return '{"step": 0}';
      throw error;
    });
    const state = join(this.request.resumeFrom, checkpointState);
    if (!isHeedless && (await readFile(state, 'utf8')) !== stateOf(this.request.hyperparameters as Hyperparameters)) {
      throw new AttemptError('checkpoint_damaged', `${state} is not as it was written`);
    }
    return (JSON.parse(text) as { step: number }).step;
  }

  private isCheckpointDue({ checkpointEverySteps, checkpointEverySeconds }: Hyperparameters): boolean {
    const isTime = checkpointEverySeconds > 0 && performance.now() - this.savedAt >= checkpointEverySeconds * 1000;
    if (isTime && this.misbehavior.breaks !== 'ignoresSeconds') return true;
    return checkpointEverySteps > 0 && this.step % checkpointEverySteps === 0;
  }

  private async saveCheckpoint(parameters: Hyperparameters): Promise<void> {
    const parent = join(this.request.outputFolder, 'checkpoints');
    const folder = join(parent, `step-${String(this.step).padStart(8, '0')}`);
    const saved: CheckpointSaved = { step: this.step, path: join(parent, basename(folder)), bytes: 64n };
    if (this.misbehavior.breaks === 'answersBeforeCheckpoint') {
      for (const answer of this.checkpointRequests.splice(0)) answer(saved);
      await sleep(200);
    }
    await this.checkClaim();
    // One that an earlier attempt saved may be damaged: then this one did not go on from it.
    if (this.savedStep !== this.step) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, checkpointState), stateOf(parameters), { flush: true });
      await writeFile(join(folder, checkpointMarker), JSON.stringify({ format: 1, step: this.step }), { flush: true });
      if (this.misbehavior.breaks !== 'keepsAllCheckpoints') {
        const keptSteps = this.misbehavior.breaks === 'ignoresKeptSteps' ? 0 : parameters.checkpointKeptEverySteps;
        await removeOldest(parent, parameters.checkpointsKept, keptSteps);
      }
    }
    this.savedStep = this.step;
    this.savedAt = performance.now();
    this.events.add({ $case: 'checkpointSaved', value: saved });
    for (const answer of this.checkpointRequests.splice(0)) answer(saved);
  }

  /** @throws AttemptError where another attempt has taken the output folder */
  private async checkClaim(): Promise<void> {
    const { breaks } = this.misbehavior;
    if (breaks === 'ignoresClaim') return;
    if (!(await this.claim.isHeld())) {
      throw new AttemptError('attempt_stale', 'another attempt has taken the output folder');
    }
  }

  private async canceled({ reason }: Stop): Promise<void> {
    const checkpoint = (await newestCheckpoint(this.request.outputFolder))?.folder;
    this.events.add({ $case: 'trainingCanceled', value: { step: this.step, checkpoint, reason } });
    this.refuseCheckpoints();
  }

  private fail(code: string, message: string): void {
    const value = { code, message, step: this.step, retryable: false, rowIds: [] };
    this.events.add({ $case: 'trainingFailed', value });
    this.refuseCheckpoints();
  }

  private refuseCheckpoints(): void {
    for (const answer of this.checkpointRequests.splice(0)) answer(new Error('the attempt has ended'));
  }
}

/** Why an attempt cannot go on. */
class AttemptError extends Error {
  constructor(
    readonly code: 'attempt_stale' | 'checkpoint_damaged',
    message: string,
  ) {
    super(message);
  }
}

function stateOf({ seed }: Hyperparameters): string {
  return JSON.stringify({ seed: String(seed) });
}

/** Keeps only the newest checkpoints, 0 all, and those of multiples of `keptSteps`, 0 none. */
async function removeOldest(parent: string, kept: number, keptSteps: number): Promise<void> {
  if (kept === 0) return;
  const names = (await readdir(parent)).sort().slice(0, -kept);
  const stepOf = (name: string) => Number(name.slice('step-'.length));
  for (const name of names.filter((name) => keptSteps === 0 || stepOf(name) % keptSteps !== 0))
    await rm(join(parent, name), { recursive: true });
}
