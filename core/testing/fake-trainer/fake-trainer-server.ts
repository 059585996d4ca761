import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  type InspectRequest,
  type StartTrainingRequest,
  type TrainerServiceServer,
  TrainerServiceService,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { requireToken } from '../../process/require-token.js';
import type { Capability } from '../../trainer/trainer.js';
import { capabilities } from '../../trainer/wire-enums.js';
import { type AttemptEvents, EventJournal } from './event-journal.js';
import { FakeGenerateCall } from './fake-generate-call.js';
import { tokenOf } from './fake-generation.js';
import { readFakeModel, writeFakeModel } from './fake-model.js';
import { FakeTraining } from './fake-training.js';
import { Refusal, streaming, unary, write } from './grpc-calls.js';
import { type Misbehavior, misbehaviorSchema, type Violation } from './misbehavior.js';
import { checkStartRequest, OutputClaim } from './start-request.js';
import { readTrainingRows } from './training-rows.js';

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

/** A trainer that speaks all of simmer.trainer.v1 and trains nothing: everything it says depends on its input alone. */
export class FakeTrainerServer {
  /** How many samples went out, over all requests: what was generated, not what was read. */
  samplesWritten = 0;
  readonly misbehavior: Misbehavior;
  private readonly server: Server;
  private readonly journal: EventJournal;
  private running: FakeTraining | undefined;
  private readonly watchers = new Set<AbortSignal>();
  /** Attempts that were watched before. */
  private readonly watched = new Set<string>();
  private stepsMade = 0;
  private lease: NodeJS.Timeout | undefined;

  private constructor(private readonly options: FakeTrainerOptions) {
    this.misbehavior = misbehaviorSchema.parse(options.misbehavior ?? {});
    this.journal = new EventJournal(options.folder, this.breaks('losesJournal'));
    const isOpen = options.token === undefined || this.breaks('ignoresToken');
    this.server = new Server({ interceptors: isOpen ? [] : [requireToken(options.token ?? '')] });
    this.server.addService(TrainerServiceService, this.service());
    const health = this.breaks('unhealthy') ? 'NOT_SERVING' : 'SERVING';
    new HealthImplementation({ [serviceName]: health, '': health }).addToServer(this.server);
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
        name: this.breaks('namelessDescription') ? '' : 'simmer-fake-trainer',
        version: '1',
        capabilities: capabilities.names.filter((name) => this.has(name)).map(capabilities.code),
        versions: { node: process.versions.node },
        devices: [{ name: 'cpu', model: 'none', memoryBytes: undefined, supportsBfloat16: false }],
        runningAttemptId: this.running?.attemptId,
        processId: process.pid,
      })),
      startTraining: unary(async (request) => {
        this.demand('train');
        if (request.resumeFrom !== undefined) this.demand('checkpoint');
        return this.startTraining(request);
      }),
      watch: streaming(async (call, signal) => {
        this.demand('train');
        if (this.breaks('invents') && this.journal.get(call.request.attemptId) === undefined) return;
        const events = this.journal.get(call.request.attemptId);
        if (events === undefined) throw new Refusal(status.NOT_FOUND, `there is no attempt ${call.request.attemptId}`);
        let number = Number(call.request.afterEventNumber);
        if (!events.hasAfter(number)) throw new Refusal(status.OUT_OF_RANGE, `events after ${number} are gone`);
        if (this.breaks('repeatsOnReattach') && number > 0 && !events.ended) number -= 1;
        if (this.breaks('diesWithStream')) {
          signal.addEventListener('abort', () => this.endSoon(call.request.attemptId));
        }
        // That a former watcher has left is heard a little later.
        if (this.breaks('servesOneWatcher')) await sleep(100);
        if (this.breaks('servesOneWatcher') && this.watchers.size > 0) {
          throw new Refusal(status.RESOURCE_EXHAUSTED, 'there is a watcher already');
        }
        if (this.watched.has(call.request.attemptId)) this.running?.goOn();
        this.watched.add(call.request.attemptId);
        const leave = () => void this.watchers.delete(signal);
        this.watchers.add(signal);
        signal.addEventListener('abort', leave);
        while (!signal.aborted) {
          const batch = events.after(number).slice(0, 64);
          if (batch.length > 0) await write(call, { events: [...batch] }, signal);
          number += batch.length;
          if (events.ended && number >= events.lastNumber) return leave();
          if (batch.length === 0) await events.more(number, signal);
        }
      }),
      renewLease: unary(async ({ duration, attemptId, acknowledgedEventNumber }) => {
        const seconds =
          duration === undefined ? this.options.leaseSeconds : Number(duration.seconds) + duration.nanos / 1e9;
        if (!(seconds > 0))
          throw new Refusal(status.INVALID_ARGUMENT, 'a lease of no time would end it', 'lease_invalid');
        const expiresAt = this.renewLease(this.breaks('ignoresLease') ? 3600 : seconds);
        if (attemptId !== undefined) {
          const extra = this.breaks('forgetsTooMuch') ? 2 : 0;
          this.known(attemptId).acknowledge(Number(acknowledgedEventNumber) + extra);
        }
        return { expiresAt };
      }),
      checkpoint: unary(async ({ attemptId }) => {
        this.demand('checkpoint');
        this.known(attemptId);
        const training = this.running;
        if (training?.attemptId !== attemptId) throw new Refusal(status.FAILED_PRECONDITION, 'it is not running');
        return { checkpoint: await training.checkpoint() };
      }),
      cancel: unary(async ({ attemptId, checkpointFirst }) => {
        this.demand('train');
        this.known(attemptId);
        const training = this.running;
        if (training?.attemptId !== attemptId) return { wasRunning: false };
        if (this.breaks('slowCancel')) await sleep(1500);
        const savesFirst = checkpointFirst && !this.breaks('cancelsWithoutCheckpoint');
        training.cancel({ reason: 'canceled', checkpointFirst: savesFirst });
        await training.ended;
        this.running = undefined;
        return { wasRunning: true };
      }),
      inspect: unary(async (request) => {
        this.demand('inspect');
        return inspect(request, this.breaks('trainsPrompts'));
      }),
      generate: streaming(async (call, signal) => {
        this.demand('generate');
        await new FakeGenerateCall(this.generateHost, call, signal).answer();
      }),
      export: unary(async ({ model, outputFolder }) => {
        this.demand('export');
        const entries = await readdir(outputFolder).catch(() => undefined);
        if (entries === undefined || entries.length > 0) {
          throw new Refusal(status.INVALID_ARGUMENT, `${outputFolder} is no empty folder`);
        }
        const fake = await readFakeModel(model);
        const files = this.breaks('exportsNothing') ? ['config.json'] : await writeFakeModel(outputFolder, fake);
        return { files: [...files], parameters: 32n, architecture: 'FakeForCausalLM', contextLength: 4096 };
      }),
      shutdown: unary(async () => {
        if (!this.breaks('outlivesShutdown')) setImmediate(() => void this.stop('shut down'));
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
    const { attemptId, jobId, attempt } = request;
    const { breaks } = this.misbehavior;
    if (this.journal.get(attemptId) !== undefined) return { alreadyStarted: breaks !== 'startsTwice' };
    if (this.running !== undefined && breaks !== 'runsSeveral') {
      const { attemptId: runningId } = this.running;
      if (this.journal.get(runningId)?.ended) this.running = undefined;
      throw new Refusal(status.FAILED_PRECONDITION, `attempt ${runningId} is running`);
    }
    const earlier = this.journal.ofJob(jobId);
    const last = Math.max(0, ...earlier.map((events) => events.header.attempt));
    if (attempt <= last && breaks !== 'acceptsStale') {
      throw new Refusal(status.FAILED_PRECONDITION, `attempt ${attempt} is stale: ${last} was seen`, 'attempt_stale');
    }
    await checkStartRequest(request, this.misbehavior);
    const claim = new OutputClaim(request);
    await claim.take(breaks === 'acceptsStale');
    const events = this.journal.begin(attemptId, { jobId, attempt });
    const ranBefore = Math.max(0, ...earlier.map((item) => item.lastStep));
    const training = new FakeTraining(request, events, ranBefore, this.misbehavior, claim, {
      crash: () => this.crash(),
      hasToHold: () => this.hasToHold(),
    });
    this.running = training;
    void training.ended.then(() => {
      if (this.running === training && breaks !== 'endsLate') this.running = undefined;
    });
    return { alreadyStarted: false };
  }

  private get generateHost() {
    const server = this;
    return {
      misbehavior: this.misbehavior,
      get samplesWritten() {
        return server.samplesWritten;
      },
      onSample: () => {
        this.samplesWritten += 1;
        if (this.misbehavior.crashAtSample === this.samplesWritten) this.crash();
      },
    };
  }

  private breaks(violation: Violation): boolean {
    return this.misbehavior.breaks === violation;
  }

  private has(capability: Capability): boolean {
    return !this.misbehavior.lacks.includes(capability);
  }

  /** @throws Refusal UNIMPLEMENTED where the capability is not declared */
  private demand(capability: Capability): void {
    if (this.has(capability) || this.breaks('answersUndeclared')) return;
    throw new Refusal(status.UNIMPLEMENTED, `this trainer does not declare ${capability}`);
  }

  /** @throws Refusal NOT_FOUND */
  private known(attemptId: string): AttemptEvents {
    const events = this.journal.get(attemptId);
    if (events === undefined) throw new Refusal(status.NOT_FOUND, `there is no attempt ${attemptId}`);
    return events;
  }

  /** Ends an attempt that nobody has watched for a second. */
  private endSoon(attemptId: string): void {
    setTimeout(() => {
      const training = this.running;
      if (training?.attemptId === attemptId) training.cancel({ reason: 'left', checkpointFirst: false });
    }, 1000);
  }

  /** Counts a step. @returns whether it is the one to wait after, which it is once in this folder */
  private hasToHold(): boolean {
    this.stepsMade += 1;
    const marker = join(this.options.folder, 'held');
    if (this.stepsMade !== this.misbehavior.holdAfterSteps || existsSync(marker)) return false;
    writeFileSync(marker, '');
    return true;
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

async function inspect({ trainingData, rows, hyperparameters }: InspectRequest, trainsPrompts: boolean) {
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
        trained: kept.map((_, position) => trainsPrompts || position >= promptWords.length),
        truncated: kept.length < words.length,
      };
    }),
  };
}
