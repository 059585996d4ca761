import { readdirSync, writeFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  Capability,
  type GenerateRequest,
  type GenerateResponse,
  type InspectRequest,
  type StartTrainingRequest,
  type TrainerServiceServer,
  TrainerServiceService,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { EventJournal } from './event-journal.js';
import { fakeSamples, tokenOf } from './fake-generation.js';
import { ModelInvalidError, readFakeModel, writeFakeModel } from './fake-model.js';
import { FakeTraining } from './fake-training.js';
import { type Misbehavior, misbehaviorSchema } from './misbehavior.js';
import { DataInvalidError, readTrainingRows } from './training-rows.js';

export interface FakeTrainerOptions {
  /** "unix:/path" or "host:port"; port 0 takes a free one. */
  readonly address: string;
  readonly token?: string;
  /** Outlives the process: its journal. */
  readonly folder: string;
  readonly leaseSeconds: number;
  readonly misbehavior?: Partial<Misbehavior>;
  /** What ending the process means: by default nothing, as for one in a test's own process. */
  onExit?(): void;
  /** What a crash means. @default a thrown error */
  onCrash?(): void;
}

const serviceName = 'simmer.trainer.v1.TrainerService';
const largestRequest = 512;

/** A refusal with a gRPC status and, where it has one, a stable code. */
class Refusal extends Error {
  readonly metadata = new Metadata();

  constructor(
    readonly code: status,
    readonly details: string,
    stableCode?: string,
  ) {
    super(details);
    if (stableCode !== undefined) this.metadata.set('simmer-error-code', stableCode);
  }
}

/** A trainer that speaks all of simmer.trainer.v1 and trains nothing: everything it says depends on its input alone. */
export class FakeTrainerServer {
  /** How many samples went out, over all requests: what was generated, not what was read. */
  samplesWritten = 0;
  readonly misbehavior: Misbehavior;
  private readonly server: Server;
  private readonly journal: EventJournal;
  private running: FakeTraining | undefined;
  private lease: NodeJS.Timeout | undefined;

  private constructor(private readonly options: FakeTrainerOptions) {
    this.misbehavior = misbehaviorSchema.parse(options.misbehavior ?? {});
    this.journal = new EventJournal(options.folder);
    this.server = new Server({ interceptors: options.token === undefined ? [] : [authenticated(options.token)] });
    this.server.addService(TrainerServiceService, this.service());
    new HealthImplementation({ [serviceName]: 'SERVING', '': 'SERVING' }).addToServer(this.server);
  }

  /** @returns the server and the address that it listens on */
  static async start(options: FakeTrainerOptions): Promise<{ server: FakeTrainerServer; address: string }> {
    await mkdir(options.folder, { recursive: true });
    const server = new FakeTrainerServer(options);
    const port = await new Promise<number>((resolve, reject) => {
      server.server.bindAsync(options.address, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    server.renewLease(options.leaseSeconds);
    return { server, address: options.address.replace(/:0$/, `:${port}`) };
  }

  /** Ends a running attempt with a checkpoint, then the server. */
  async stop(reason: string): Promise<void> {
    clearTimeout(this.lease);
    this.running?.cancel({ reason, checkpointFirst: true });
    await this.running?.ended;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => this.server.forceShutdown(), 500);
      this.server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
    this.options.onExit?.();
  }

  private service(): TrainerServiceServer {
    return {
      describe: unary(async () => ({
        name: 'simmer-fake-trainer',
        version: '1',
        capabilities: [
          Capability.CAPABILITY_TRAIN,
          Capability.CAPABILITY_CHECKPOINT,
          Capability.CAPABILITY_INSPECT,
          Capability.CAPABILITY_GENERATE,
          Capability.CAPABILITY_EXPORT,
          Capability.CAPABILITY_DETERMINISTIC_RESUME,
        ],
        versions: { node: process.versions.node },
        devices: [{ name: 'cpu', model: 'none', memoryBytes: undefined, supportsBfloat16: false }],
        runningAttemptId: this.running?.attemptId,
        processId: process.pid,
      })),
      startTraining: unary((request) => this.startTraining(request)),
      watch: streaming(async (call, signal) => {
        const events = this.journal.get(call.request.attemptId);
        if (events === undefined) throw new Refusal(status.NOT_FOUND, `there is no attempt ${call.request.attemptId}`);
        let number = Number(call.request.afterEventNumber);
        if (!events.hasAfter(number)) throw new Refusal(status.OUT_OF_RANGE, `events after ${number} are gone`);
        while (!signal.aborted) {
          const batch = events.after(number).slice(0, 64);
          if (batch.length > 0) await write(call, { events: [...batch] }, signal);
          number += batch.length;
          if (events.ended && number >= events.lastNumber) return;
          if (batch.length === 0) await events.more(number, signal);
        }
      }),
      renewLease: unary(async ({ duration, attemptId, acknowledgedEventNumber }) => {
        if (attemptId !== undefined) this.journal.get(attemptId)?.acknowledge(Number(acknowledgedEventNumber));
        const seconds =
          duration === undefined ? this.options.leaseSeconds : Number(duration.seconds) + duration.nanos / 1e9;
        return { expiresAt: this.renewLease(seconds) };
      }),
      checkpoint: unary(async ({ attemptId }) => {
        if (this.running?.attemptId !== attemptId) throw new Refusal(status.FAILED_PRECONDITION, 'it is not running');
        return { checkpoint: await this.running.checkpoint() };
      }),
      cancel: unary(async ({ attemptId, checkpointFirst }) => {
        const training = this.running;
        if (training?.attemptId !== attemptId) return { wasRunning: false };
        training.cancel({ reason: 'canceled', checkpointFirst });
        await training.ended;
        return { wasRunning: true };
      }),
      inspect: unary((request) => inspect(request)),
      generate: streaming((call, signal) => this.generate(call, signal)),
      export: unary(async ({ model, outputFolder }) => {
        const entries = await readdir(outputFolder).catch(() => undefined);
        if (entries === undefined || entries.length > 0) {
          throw new Refusal(status.INVALID_ARGUMENT, `${outputFolder} is no empty folder`);
        }
        const files = await writeFakeModel(outputFolder, await readFakeModel(model));
        return { files: [...files], parameters: 32n, architecture: 'FakeForCausalLM', contextLength: 4096 };
      }),
      shutdown: unary(async () => {
        setImmediate(() => void this.stop('shut down'));
        return {};
      }),
    };
  }

  private renewLease(seconds: number): Date {
    clearTimeout(this.lease);
    this.lease = setTimeout(() => void this.stop('its lease ran out'), seconds * 1000);
    return new Date(Date.now() + seconds * 1000);
  }

  private async startTraining(request: StartTrainingRequest): Promise<{ alreadyStarted: boolean }> {
    const { attemptId, jobId, attempt, hyperparameters } = request;
    if (this.journal.get(attemptId) !== undefined) return { alreadyStarted: true };
    if (this.running !== undefined) {
      throw new Refusal(status.FAILED_PRECONDITION, `attempt ${this.running.attemptId} is running`);
    }
    const earlier = this.journal.ofJob(jobId);
    const last = Math.max(0, ...earlier.map((events) => events.header.attempt));
    if (attempt <= last) {
      throw new Refusal(status.FAILED_PRECONDITION, `attempt ${attempt} is stale: ${last} was seen`, 'stale_attempt');
    }
    if (hyperparameters === undefined || hyperparameters.globalBatchSize < 1 || !(hyperparameters.learningRate > 0)) {
      throw new Refusal(status.INVALID_ARGUMENT, 'global_batch_size and learning_rate must be above 0');
    }
    const events = this.journal.begin(attemptId, { jobId, attempt });
    const ranBefore = Math.max(0, ...earlier.map((item) => item.lastStep));
    const training = new FakeTraining(request, events, ranBefore, this.misbehavior, () => this.crash());
    this.running = training;
    void training.ended.then(() => {
      this.running = undefined;
    });
    return { alreadyStarted: false };
  }

  private async generate(
    call: ServerWritableStream<GenerateRequest, GenerateResponse>,
    signal: AbortSignal,
  ): Promise<void> {
    const { request } = call;
    if (request.prompts.length > largestRequest) {
      throw new Refusal(status.INVALID_ARGUMENT, `${request.prompts.length} prompts are more than ${largestRequest}`);
    }
    const model = await readFakeModel(request.model);
    const started = performance.now();
    const policies = request.thinkingFormat === undefined ? 1 : Math.max(1, request.policies.length);
    const samplesTotal = request.prompts.length * policies * Math.max(1, request.sampling?.samples ?? 1);
    let samples = 0;
    let tokens = 0;
    for (const sample of fakeSamples(request, model, this.misbehavior.wordsPerSample)) {
      if (this.misbehavior.sampleMilliseconds > 0) await sleep(this.misbehavior.sampleMilliseconds);
      if (signal.aborted) return;
      samples += 1;
      tokens += sample.thinkingTokenIds.length - sample.sharedThinkingTokens + sample.answerTokenIds.length;
      this.samplesWritten += 1;
      await write(call, { response: { $case: 'sample', value: sample } }, signal);
      if (this.misbehavior.crashAtSample === this.samplesWritten) this.crash();
      if (samples % 16 === 0) {
        const value = {
          samplesCompleted: samples,
          samplesTotal,
          tokensDecoded: BigInt(tokens),
          tokensPerSecond: tokens / Math.max(0.001, (performance.now() - started) / 1000),
          peakMemoryBytes: BigInt(process.memoryUsage.rss()),
        };
        await write(call, { response: { $case: 'progress', value } }, signal);
      }
    }
    const value = {
      samples,
      tokensDecoded: BigInt(tokens),
      seconds: (performance.now() - started) / 1000,
      peakMemoryBytes: BigInt(process.memoryUsage.rss()),
    };
    await write(call, { response: { $case: 'completed', value } }, signal);
  }

  /** Crashes, unless it did so often enough in this folder. */
  private crash(): void {
    const { folder, onCrash } = this.options;
    const before = readdirSync(folder).filter((name) => name.startsWith('crash-')).length;
    if (before >= this.misbehavior.crashes) return;
    writeFileSync(join(folder, `crash-${before + 1}`), '');
    if (onCrash === undefined) throw new Error('the fake trainer crashes');
    onCrash();
  }
}

async function inspect({ trainingData, rows, hyperparameters }: InspectRequest) {
  const limit = hyperparameters?.maxSequenceLength || Number.POSITIVE_INFINITY;
  const found = await (await readTrainingRows(trainingData)).at(rows);
  return {
    rows: found.map(({ prompt, completion }, index) => {
      const promptWords = prompt.split(/\s+/);
      const words = [...promptWords, ...completion.split(/\s+/)];
      const kept = words.slice(0, limit);
      return {
        row: rows[index] ?? 0,
        tokenIds: kept.map(tokenOf),
        tokens: kept,
        trained: kept.map((_, position) => position >= promptWords.length),
        truncated: kept.length < words.length,
      };
    }),
  };
}

/** Waits where the peer is behind: what is not read is not generated. */
async function write<T>(call: ServerWritableStream<unknown, T>, message: T, signal: AbortSignal): Promise<void> {
  if (signal.aborted || call.write(message)) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      signal.removeEventListener('abort', go);
      resolve();
    };
    call.once('drain', go);
    signal.addEventListener('abort', go, { once: true });
  });
}

function unary<Request, Response>(handle: (request: Request) => Promise<Response>): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handle(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

function streaming<Request, Response>(
  handle: (call: ServerWritableStream<Request, Response>, signal: AbortSignal) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    handle(call, gone.signal).then(
      () => call.end(),
      (error: unknown) => call.emit('error', toStatus(error)),
    );
  };
}

function toStatus(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof ModelInvalidError) return new Refusal(status.INVALID_ARGUMENT, error.message, 'model_invalid');
  if (error instanceof DataInvalidError) return new Refusal(status.INVALID_ARGUMENT, error.message, 'data_invalid');
  return new Refusal(status.INTERNAL, error instanceof Error ? (error.stack ?? error.message) : String(error));
}

function authenticated(token: string): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, proceed) {
            if (metadata.get('authorization')[0] === `Bearer ${token}`) return proceed(metadata);
            const details = 'the call carries no valid token';
            call.sendStatus({ code: status.UNAUTHENTICATED, details, metadata: new Metadata() });
          },
        });
      },
    });
}
