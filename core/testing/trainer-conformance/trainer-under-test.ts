import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type ClientReadableStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { type TrainerEvent, TrainerServiceClient } from '../../generated/simmer/trainer/v1/trainer.js';
import { type UnaryMethod, unaryCall } from '../../process/grpc-call.js';
import { checkHealth } from '../../process/grpc-health.js';
import { waitForHandshake } from '../../process/handshake.js';
import { makeSocketFolder, removeSocketFolder } from '../../process/socket-folder.js';
import { type ProcessExit, spawnDetached } from '../../process/spawn-detached.js';
import { signalGroup } from '../../process/terminate.js';
import { trainerServiceName } from '../../trainer/trainer-client.js';
import { patientMessages } from './patient-messages.js';

/** How a trainer is started for its verification. */
export interface TrainerStart {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Outlives the process: what the trainer keeps, and its output. */
  readonly folder: string;
  readonly transport: 'unix' | 'tcp';
  readonly leaseSeconds: number;
  /** How long whatever has no limit of its own may take. */
  readonly patienceSeconds: number;
}

const channelOptions = { 'grpc.max_receive_message_length': 256 * 1024 * 1024, 'grpc.enable_http_proxy': 0 };

/** A process of the trainer under test, and the bare calls of the contract to it. */
export class TrainerUnderTest {
  readonly client: TrainerServiceClient;
  private exit: ProcessExit | undefined;
  private stderrRead = 0;

  private constructor(
    readonly pid: number,
    readonly exited: Promise<ProcessExit>,
    /** What it was asked to listen on. */
    readonly requestedAddress: string,
    /** What its handshake says. */
    readonly address: string,
    readonly token: string | undefined,
    readonly stdoutFile: string,
    private readonly stderrFile: string,
    private readonly patienceSeconds: number,
  ) {
    this.client = this.anotherClient();
    void exited.then((exit) => {
      this.exit = exit;
    });
  }

  /** @param ordinal of the start in this folder, for the names of its files @throws UserError `handshake_failed` */
  static async start(start: TrainerStart, ordinal: number): Promise<TrainerUnderTest> {
    const state = join(start.folder, 'state');
    await mkdir(state, { recursive: true, mode: 0o700 });
    const [stdoutFile, stderrFile] = ['stdout', 'stderr'].map((name) => join(start.folder, `${name}-${ordinal}.log`));
    const isTcp = start.transport === 'tcp';
    const requested = isTcp ? '127.0.0.1:0' : `unix:${join(await makeSocketFolder(), 'trainer.sock')}`;
    const token = isTcp ? randomBytes(16).toString('hex') : undefined;
    const { pid, exited } = await spawnDetached({
      argv: start.argv,
      env: {
        ...start.env,
        SIMMER_TRAINER_ADDRESS: requested,
        SIMMER_TRAINER_TOKEN: token,
        SIMMER_TRAINER_FOLDER: state,
        SIMMER_LEASE_SECONDS: String(start.leaseSeconds),
      },
      stdoutFile: stdoutFile!,
      stderrFile: stderrFile!,
    });
    try {
      const address = await waitForHandshake({
        prefix: 'SIMMER-TRAINER',
        protocolVersion: 1,
        what: 'trainer',
        stdoutFile: stdoutFile!,
        stderrFile: stderrFile!,
        exited,
        timeoutMilliseconds: start.patienceSeconds * 1000,
        signal: new AbortController().signal,
      });
      const { patienceSeconds } = start;
      return new TrainerUnderTest(pid, exited, requested, address, token, stdoutFile!, stderrFile!, patienceSeconds);
    } catch (error) {
      signalGroup(pid, 'SIGKILL');
      throw error;
    }
  }

  get hasExited(): boolean {
    return this.exit !== undefined;
  }

  /** Another connection. */
  anotherClient(): TrainerServiceClient {
    return new TrainerServiceClient(this.address, credentials.createInsecure(), channelOptions);
  }

  get metadata(): Metadata {
    return this.metadataWith(this.token);
  }

  metadataWith(token: string | undefined): Metadata {
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return metadata;
  }

  isHealthy(): Promise<boolean> {
    return checkHealth({
      address: this.address,
      service: trainerServiceName,
      channelOptions,
      metadata: this.metadata,
      timeoutMilliseconds: 10_000,
    });
  }

  /** @throws ServiceError */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly seconds?: number; readonly metadata?: Metadata } = {},
  ): Promise<Response> {
    const { seconds = this.patienceSeconds, metadata = this.metadata } = options;
    return unaryCall(this.client, method, request, { seconds, metadata });
  }

  /** What a call is refused with. Undefined where it is not. */
  async refusal(call: Promise<unknown>): Promise<ServiceError | undefined> {
    try {
      await call;
      return undefined;
    } catch (error) {
      return error as ServiceError;
    }
  }

  /**
   * Events of an attempt, to its end or until `until` says so of one. @throws ServiceError, or an Error where it takes
   * longer than patience has it
   */
  async events(attemptId: string, after = 0, until: (event: TrainerEvent) => boolean = () => false) {
    const found: TrainerEvent[] = [];
    const call = this.client.watch({ attemptId, afterEventNumber: BigInt(after) }, this.metadata);
    for await (const { events } of this.messages(call)) {
      for (const event of events) {
        found.push(event);
        if (until(event)) return found;
      }
    }
    return found;
  }

  /** The messages of a stream, within the patience; it is canceled where it is left early. */
  messages<Message>(call: ClientReadableStream<Message>): AsyncGenerator<Message> {
    return patientMessages(call, this.patienceSeconds);
  }

  /** Whether it ends by itself in time, and how. */
  async exitWithin(seconds: number): Promise<ProcessExit | undefined> {
    const timer = new AbortController();
    const late = wait(seconds * 1000, undefined, { signal: timer.signal }).catch(() => undefined);
    const exit = await Promise.race([this.exited, late]);
    timer.abort();
    return exit;
  }

  /** SIGKILL, with all that it started. */
  async kill(): Promise<void> {
    signalGroup(this.pid, 'SIGKILL');
    // With a timer, for nothing else keeps this process alive meanwhile: its child is no reason to.
    if ((await this.exitWithin(30)) === undefined) throw new Error(`process ${this.pid} does not die of SIGKILL`);
    await this.release();
  }

  /** Closes the connection to a process that has ended, and removes its socket. */
  async release(): Promise<void> {
    this.client.close();
    if (this.requestedAddress.startsWith('unix:')) await removeSocketFolder(this.requestedAddress.slice(5));
  }

  stdout(): Promise<string> {
    return readFile(this.stdoutFile, 'utf8');
  }

  /** What it wrote to stderr since it was last asked for. */
  async newStderr(): Promise<string> {
    const bytes = await readFile(this.stderrFile);
    const since = bytes.subarray(this.stderrRead);
    this.stderrRead = bytes.length;
    return since.toString('utf8');
  }
}
