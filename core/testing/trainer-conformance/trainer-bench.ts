import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ServiceError, status } from '@grpc/grpc-js';
import {
  type DescribeResponse,
  type EvaluationLogged,
  Hyperparameters,
  LearningRateSchedule,
  Method,
  type ModelSource,
  Precision,
  type StartTrainingRequest,
  type StepLogged,
  type TrainerEvent,
  type TrainingCompleted,
  type TrainingStarted,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { newestCheckpoint } from '../../trainer/checkpoints.js';
import type { Capability } from '../../trainer/trainer.js';
import { toTrainerDescription } from '../../trainer/wire-to-domain.js';
import { demand } from '../verification.js';
import { named } from './named.js';
import { writeParquet } from './parquet-file.js';
import { type TrainerStart, TrainerUnderTest } from './trainer-under-test.js';
import { startedOf, stepsOf } from './training-events.js';

interface BenchOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly model: ModelSource;
  readonly patienceSeconds: number;
}

/** A training that nothing disturbed, to its end. */
interface WholeTraining {
  readonly request: StartTrainingRequest;
  readonly events: readonly TrainerEvent[];
}

/** A training of which only these are looked at. */
export interface ShortTraining {
  readonly started: TrainingStarted;
  readonly steps: readonly StepLogged[];
  readonly evaluations: readonly EvaluationLogged[];
  readonly completed: TrainingCompleted;
}

/** A training whose trainer was killed, and which went on in another process. */
interface KilledTraining {
  readonly request: StartTrainingRequest;
  /** What a watcher had seen when the trainer was killed. */
  readonly seen: readonly TrainerEvent[];
  /** What the next process told of the killed attempt; or why it did not. */
  readonly told: readonly TrainerEvent[] | Error;
  /** The steps of the killed attempt that were told, before the kill or after it. */
  readonly ranBefore: ReadonlySet<number>;
  /** Of the attempt that went on, and what it was given to go on from. */
  readonly resumed: readonly TrainerEvent[];
  readonly resumedFrom: { readonly step: number; readonly folder: string } | undefined;
  readonly runningAttemptAfterKill: string | undefined;
}

/** A lease that does not run out while the suite runs. */
const longLeaseSeconds = 3600;
export const rowCount = 10;
/** How many steps a short training takes. */
export const shortTrainingSteps = 8;
/** What a trainer does that has ended an attempt when it tells its last event. */
export const acceptedAfterEnd = 'another attempt to be accepted once the last event of the one before it was told';
/** Where every training is refused, nothing can be said of what a check changes of it. */
const acceptedPlain =
  'a training of which nothing was changed to be accepted (of another model: verify with --model FOLDER)';
/** How many lines are shown of what a trainer wrote to stderr. */
const stderrLines = 12;
/** A learning rate that leaves weights as they are. */
export const nextToNoRate = 1e-12;

/** What all checks of one trainer share: its processes, its description, and trainings that several look at. */
export class TrainerBench {
  private process: TrainerUnderTest | undefined;
  private secondProcess: TrainerUnderTest | undefined;
  private readonly started: TrainerUnderTest[] = [];
  private wholeTraining: Promise<WholeTraining> | undefined;
  private killedTraining: Promise<KilledTraining> | undefined;
  private repeatedTraining: Promise<readonly [ShortTraining, ShortTraining]> | undefined;
  /** By what they were asked for. */
  private readonly shortTrainings = new Map<string, Promise<ShortTraining | ServiceError>>();
  private description: DescribeResponse | undefined;

  private constructor(
    readonly options: BenchOptions,
    readonly trainingData: string,
  ) {}

  static async open(options: BenchOptions): Promise<TrainerBench> {
    const file = join(options.folder, 'rows.parquet');
    await writeParquet(
      file,
      `SELECT 'row-' || i AS id, 'What is ' || i || ' and one?' AS prompt, 'It is ' || (i + 1) || '.' AS completion
       FROM range(${rowCount}) t(i)`,
    );
    return new TrainerBench(options, file);
  }

  /** The trainer, serving on a unix socket; started again where it has ended. */
  async trainer(): Promise<TrainerUnderTest> {
    if (this.process === undefined || this.process.hasExited) {
      await this.process?.release();
      this.process = await this.start('first', 'unix');
    }
    return this.process;
  }

  /** Another trainer that knows nothing of the first, on TCP. @throws Deviation where it does not say on which port */
  async second(): Promise<TrainerUnderTest> {
    if (this.secondProcess === undefined || this.secondProcess.hasExited) {
      await this.secondProcess?.release();
      this.secondProcess = await this.start('second', 'tcp');
    }
    const { address, requestedAddress } = this.secondProcess;
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    demand(port > 0, `in the handshake the port that it took, where it was given ${requestedAddress}`, address);
    return this.secondProcess;
  }

  /** Kills the trainer and starts it again in its folder. */
  async restart(): Promise<TrainerUnderTest> {
    await (await this.trainer()).kill();
    return this.trainer();
  }

  /** All processes that there were. */
  get processes(): readonly TrainerUnderTest[] {
    return this.started;
  }

  /** The last lines that its processes wrote to stderr since it was last asked for. */
  async lastStderr(): Promise<string> {
    const written = await Promise.all(this.started.map((process) => process.newStderr()));
    return written.join('').trimEnd().split('\n').slice(-stderrLines).join('\n');
  }

  async describe(): Promise<DescribeResponse> {
    const trainer = await this.trainer();
    this.description ??= await trainer.call(trainer.client.describe, {});
    return this.description;
  }

  async capabilities(): Promise<ReadonlySet<Capability>> {
    return toTrainerDescription(await this.describe()).capabilities;
  }

  /** A request for a job of its own, in a folder of its own. */
  async training(
    parameters: Partial<Hyperparameters> = {},
    changes: Partial<StartTrainingRequest> = {},
  ): Promise<StartTrainingRequest> {
    const jobId = randomUUID();
    const outputFolder = join(this.options.folder, 'output', jobId);
    await mkdir(outputFolder, { recursive: true });
    const savesCheckpoints = (await this.capabilities()).has('checkpoint');
    return {
      attemptId: randomUUID(),
      jobId,
      attempt: 1,
      model: this.options.model,
      trainingData: this.trainingData,
      evaluationData: undefined,
      hyperparameters: {
        ...hyperparameters,
        ...parameters,
        checkpointEverySteps: savesCheckpoints ? (parameters.checkpointEverySteps ?? 0) : 0,
      },
      outputFolder,
      resumeFrom: undefined,
      extensions: undefined,
      ...changes,
    };
  }

  /** Starts a training that does not end by itself, and returns when it has logged a step. */
  async startEndless(trainer: TrainerUnderTest): Promise<StartTrainingRequest> {
    const request = await this.training({ maxSteps: 1_000_000 });
    await trainer.call(trainer.client.startTraining, request);
    await trainer.events(request.attemptId, 0, ({ event }) => event?.$case === 'stepLogged');
    return request;
  }

  /** A training of twelve steps that nothing disturbs; made once. */
  whole(): Promise<WholeTraining> {
    this.wholeTraining ??= (async () => {
      const trainer = await this.trainer();
      const request = await this.training({ maxSteps: 12, checkpointEverySteps: 4, checkpointsKept: 2 });
      await trainer.call(trainer.client.startTraining, request);
      return { request, events: await trainer.events(request.attemptId) };
    })();
    return this.wholeTraining;
  }

  /**
   * A short training, made once for all who ask for the same; or what it is refused with.
   * @throws Deviation where it does not complete
   */
  short(
    parameters: Partial<Hyperparameters>,
    changes: Partial<StartTrainingRequest> = {},
  ): Promise<ShortTraining | ServiceError> {
    const key = JSON.stringify([parameters, changes], (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    const training = this.shortTrainings.get(key) ?? this.shortAnew(parameters, changes);
    this.shortTrainings.set(key, training);
    return training;
  }

  private async shortAnew(
    parameters: Partial<Hyperparameters> = {},
    changes: Partial<StartTrainingRequest> = {},
  ): Promise<ShortTraining | ServiceError> {
    const tried = await this.attempt({ maxSteps: shortTrainingSteps, ...parameters }, changes);
    if (tried instanceof Error) return tried;
    const { events } = tried;
    const end = events.at(-1)?.event;
    const how = named(parameters) === '' ? '' : ` with ${named(parameters)}`;
    demand(end?.$case === 'trainingCompleted', `training_completed${how}`, end ?? 'the end of the stream');
    const evaluations = events.flatMap(({ event }) => (event?.$case === 'evaluationLogged' ? [event.value] : []));
    return { started: startedOf(events), steps: stepsOf(events), evaluations, completed: end.value };
  }

  /**
   * An attempt to its end, whatever that is; or what it is refused with.
   * @throws Deviation where it was refused for the attempt before it, and not for what it asks for
   */
  async attempt(
    parameters: Partial<Hyperparameters>,
    changes: Partial<StartTrainingRequest> = {},
  ): Promise<WholeTraining | ServiceError> {
    const trainer = await this.trainer();
    const request = await this.training(parameters, changes);
    const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, request));
    if (refusal === undefined) return { request, events: await trainer.events(request.attemptId) };
    const saw = `${status[refusal.code]}: ${refusal.details}`;
    const { runningAttemptId } = await trainer.call(trainer.client.describe, {});
    demand(runningAttemptId === undefined, acceptedAfterEnd, saw);
    const again = await this.training(parameters, changes);
    const second = await trainer.refusal(trainer.call(trainer.client.startTraining, again));
    demand(second !== undefined, acceptedAfterEnd, `${saw}; asked again, it was accepted`);
    return refusal;
  }

  /** One short training, made twice: where its losses differ, it is by chance. */
  repeated(): Promise<readonly [ShortTraining, ShortTraining]> {
    const once = async () => {
      const training = await this.shortAnew();
      demand(!(training instanceof Error), acceptedPlain, training);
      return training;
    };
    this.repeatedTraining ??= (async () => [await once(), await once()] as const)();
    return this.repeatedTraining;
  }

  /** The same training as `whole`, or a longer one where it ends too soon, killed in its middle; made once. */
  killed(): Promise<KilledTraining> {
    this.killedTraining ??= this.killInTraining(24);
    return this.killedTraining;
  }

  private async killInTraining(maxSteps: number, tries = 5): Promise<KilledTraining> {
    const trainer = await this.trainer();
    const request = await this.training({ maxSteps, checkpointEverySteps: 4 });
    await trainer.call(trainer.client.startTraining, request);
    // Past the first checkpoint, and not at the next: there are steps to run again.
    const seen = await trainer.events(
      request.attemptId,
      0,
      ({ event }) => event?.$case === 'stepLogged' && event.value.step >= 6,
    );
    const next = await this.restart();
    const { runningAttemptId: runningAttemptAfterKill } = await next.call(next.client.describe, {});
    const told = await next.events(request.attemptId).catch((error: Error) => error);
    const wasTooQuick = !(told instanceof Error) && told.at(-1)?.event?.$case === 'trainingCompleted';
    if (wasTooQuick && maxSteps < 10_000) return this.killInTraining(maxSteps * 8, tries);
    const resumedFrom = await newestCheckpoint(request.outputFolder);
    // It runs on until the kill, which may have come right after a later checkpoint.
    const ranBefore = stepsOf([...seen, ...(told instanceof Error ? [] : told)]).map(({ step }) => step);
    const hasRerun = ranBefore.some((step) => step > (resumedFrom?.step ?? 0));
    if (!hasRerun && tries > 1) return this.killInTraining(maxSteps, tries - 1);
    const again = { ...request, attemptId: randomUUID(), attempt: 2, resumeFrom: resumedFrom?.folder };
    await next.call(next.client.startTraining, again);
    const resumed = await next.events(again.attemptId);
    const killed = { request: again, seen, told, ranBefore: new Set(ranBefore), runningAttemptAfterKill };
    return { ...killed, resumed, resumedFrom };
  }

  /** Makes the trainer as a check expects it: with nothing running. */
  async settle(): Promise<void> {
    for (const process of [this.process, this.secondProcess]) {
      if (process === undefined || process.hasExited) continue;
      try {
        const { runningAttemptId: attemptId } = await process.call(process.client.describe, {}, { seconds: 10 });
        if (attemptId === undefined) continue;
        await process.call(process.client.cancel, { attemptId, checkpointFirst: false }, { seconds: 20 });
      } catch {
        await process.kill();
      }
    }
  }

  /** Rows that have nothing in common with those that are trained on. */
  otherRows(): Promise<string> {
    return this.parquet(
      'other-rows',
      `SELECT 'other-' || i AS id, 'ÄÖ' || i || '?' AS prompt, repeat('ÜXÖ', 4) || i AS completion
       FROM range(${rowCount}) t(i)`,
    );
  }

  /** As many rows, every other one with many times as much to train as its neighbours. */
  unevenRows(): Promise<string> {
    return this.parquet(
      'uneven-rows',
      `SELECT 'uneven-' || i AS id, 'Say ' || i || ':' AS prompt,
              CASE WHEN i % 2 = 0 THEN 'Z' ELSE repeat('and so on, ', 8) || i END AS completion
       FROM range(${rowCount}) t(i)`,
    );
  }

  /** A Parquet file of this name, made of a query where it is not there. */
  async parquet(name: string, query: string): Promise<string> {
    const file = join(this.options.folder, `${name}.parquet`);
    if (!existsSync(file)) await writeParquet(file, query);
    return file;
  }

  /** A path where nothing is; below the suite's own folder, for a broken trainer may make it. */
  get nowhere(): string {
    return join(this.options.folder, 'nowhere', randomUUID());
  }

  /** A file with this content. */
  async file(name: string, content: string): Promise<string> {
    const file = join(this.options.folder, name);
    await writeFile(file, content);
    return file;
  }

  async emptyFolder(): Promise<string> {
    const folder = join(this.options.folder, randomUUID());
    await mkdir(folder);
    return folder;
  }

  async close(): Promise<void> {
    for (const process of this.started) {
      if (!process.hasExited) await process.kill();
      else await process.release();
    }
  }

  private async start(name: string, transport: TrainerStart['transport']): Promise<TrainerUnderTest> {
    const { argv, env, folder, patienceSeconds } = this.options;
    const process = await TrainerUnderTest.start(
      { argv, env, folder: join(folder, name), transport, leaseSeconds: longLeaseSeconds, patienceSeconds },
      this.started.length + 1,
    );
    this.started.push(process);
    return process;
  }
}

/** A Hugging Face folder, as what is trained. */
export function modelIn(folder: string): ModelSource {
  return { source: { $case: 'folder', value: folder }, adapterFolder: undefined };
}

/** What a training is asked for, where a check asks for nothing else. */
export const hyperparameters: Hyperparameters = {
  ...Hyperparameters.fromPartial({}),
  method: Method.METHOD_FULL,
  learningRate: 1e-3,
  epochs: 1,
  globalBatchSize: 2,
  schedule: LearningRateSchedule.LEARNING_RATE_SCHEDULE_LINEAR,
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-8,
  maxGradientNorm: 1,
  precision: Precision.PRECISION_FLOAT32,
  maxSequenceLength: 256,
  seed: 11n,
  logEverySteps: 1,
};
