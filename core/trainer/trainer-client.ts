import { setImmediate as others } from 'node:timers/promises';
import { type ClientReadableStream, credentials, Metadata } from '@grpc/grpc-js';
import {
  type GenerateResponse,
  type TrainerEvent,
  TrainerServiceClient,
} from '../generated/simmer/trainer/v1/trainer.js';
import { messagesOf, type UnaryMethod, unaryCall } from '../process/grpc-call.js';
import { isServing } from '../process/grpc-health.js';
import {
  toGenerateMessage,
  toHyperparametersMessage,
  toModelSourceMessage,
  toPrecisionMessage,
} from './requests-to-wire.js';
import type {
  ExportRequest,
  ExportResult,
  GenerationEvent,
  GenerationRequest,
  InspectedRow,
  Prompt,
  TrainerDescription,
  TrainingRequest,
} from './trainer.js';
import { toTrainerError } from './trainer-errors.js';
import { fileFormats } from './wire-enums.js';
import { toSample, toTrainerDescription } from './wire-to-domain.js';

export const trainerServiceName = 'simmer.trainer.v1.TrainerService';

const channelOptions = {
  // A long sample's token ids are far above the default of 4 MiB.
  'grpc.max_receive_message_length': 256 * 1024 * 1024,
  // How far a trainer may be ahead of who pulls. HTTP/2's own 64 KiB hold two batches of events: while they are recorded the
  // trainer waits for room, and then the core for the trainer.
  'grpc-node.flow_control_window': 1024 * 1024,
  // A trainer is never behind the user's web proxy.
  'grpc.enable_http_proxy': 0,
  // A trainer that restarts on the same address is found again soon.
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1000,
};

/**
 * Events that may be taken in without a break: some milliseconds' worth. Batches that are there already would follow each
 * other for as long as there are any, and neither the log nor a watcher would get to what was taken in.
 */
const mostEventsInTurn = 512;

/** An attempt to start. */
interface AttemptRequest {
  readonly attemptId: string;
  readonly jobId: string;
  /** From 1. */
  readonly ordinal: number;
  readonly outputFolder: string;
  /** A complete checkpoint. */
  readonly resumeFrom?: string;
}

/**
 * The calls of one trainer process, in the core's own terms: takes and gives domain types, throws `TrainerLostError` and
 * `UserError`. A signal that is aborted cancels the call, and its reason is thrown.
 */
export class TrainerClient {
  private readonly client: TrainerServiceClient;
  private readonly metadata = new Metadata();

  constructor(
    private readonly trainer: string,
    private readonly address: string,
    token?: string,
  ) {
    if (token !== undefined) this.metadata.set('authorization', `Bearer ${token}`);
    this.client = new TrainerServiceClient(address, credentials.createInsecure(), channelOptions);
  }

  /** Whether it serves; false where nothing answers in time. @param gone resolves when its process has ended */
  isHealthy(timeoutMilliseconds: number, gone?: Promise<unknown>): Promise<boolean> {
    const { address, metadata } = this;
    const asked = { address, service: trainerServiceName, channelOptions, metadata, timeoutMilliseconds };
    return isServing(gone === undefined ? asked : { ...asked, gone });
  }

  async describe(signal?: AbortSignal): Promise<TrainerDescription & { readonly runningAttemptId?: string }> {
    const response = await this.unary('Describe', this.client.describe, {}, { signal, seconds: 30 });
    return {
      ...toTrainerDescription(response),
      ...(response.runningAttemptId === undefined ? {} : { runningAttemptId: response.runningAttemptId }),
    };
  }

  async startTraining(request: TrainingRequest, attempt: AttemptRequest, signal?: AbortSignal): Promise<void> {
    await this.unary(
      'StartTraining',
      this.client.startTraining,
      {
        attemptId: attempt.attemptId,
        jobId: attempt.jobId,
        attempt: attempt.ordinal,
        model: toModelSourceMessage(request.model),
        trainingData: request.trainingData,
        evaluationData: request.evaluationData,
        hyperparameters: toHyperparametersMessage(request.hyperparameters),
        outputFolder: attempt.outputFolder,
        resumeFrom: attempt.resumeFrom,
        extensions: request.extensions === undefined ? undefined : { ...request.extensions },
      },
      { signal },
    );
  }

  /**
   * Events of an attempt above a number, batch by batch as the trainer sends them; what is not pulled is not sent. Other
   * work gets its turn in between. Ends after the attempt's last event.
   */
  async *watch(attemptId: string, afterEventNumber: number, signal?: AbortSignal): AsyncGenerator<TrainerEvent[]> {
    const request = { attemptId, afterEventNumber: BigInt(afterEventNumber) };
    let inTurn = 0;
    for await (const { events } of this.stream('Watch', this.client.watch(request, this.metadata), signal)) {
      yield events;
      inTurn += events.length;
      if (inTurn < mostEventsInTurn) continue;
      await others();
      inTurn = 0;
    }
  }

  async renewLease(seconds: number, acknowledged: { attemptId: string; number: number } | undefined): Promise<void> {
    await this.unary(
      'RenewLease',
      this.client.renewLease,
      {
        duration: duration(seconds),
        attemptId: acknowledged?.attemptId,
        acknowledgedEventNumber: BigInt(acknowledged?.number ?? 0),
      },
      { seconds: 15 },
    );
  }

  /** Returns when the attempt has ended. */
  async cancel(attemptId: string, options: { checkpointFirst: boolean; seconds: number }): Promise<void> {
    const { checkpointFirst, seconds } = options;
    await this.unary('Cancel', this.client.cancel, { attemptId, checkpointFirst }, { seconds });
  }

  async inspect(request: TrainingRequest, rows: readonly number[], signal?: AbortSignal): Promise<InspectedRow[]> {
    const response = await this.unary(
      'Inspect',
      this.client.inspect,
      {
        model: toModelSourceMessage(request.model),
        trainingData: request.trainingData,
        rows: [...rows],
        hyperparameters: toHyperparametersMessage(request.hyperparameters),
      },
      { signal },
    );
    return response.rows;
  }

  /** Samples and progress of one request; `completed` is left out. */
  async *generate(
    request: GenerationRequest,
    prompts: readonly Prompt[],
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const call = this.client.generate(toGenerateMessage(request, prompts), this.metadata);
    for await (const response of this.stream('Generate', call, signal)) {
      const event = toGenerationEvent(response);
      if (event !== undefined) yield event;
    }
  }

  async export(request: ExportRequest, signal?: AbortSignal): Promise<ExportResult> {
    const response = await this.unary(
      'Export',
      this.client.export,
      {
        model: toModelSourceMessage(request.model),
        outputFolder: request.outputFolder,
        precision: toPrecisionMessage(request.precision),
        format: fileFormats.code(request.format ?? 'huggingFace'),
      },
      { signal },
    );
    return { ...response, parameters: Number(response.parameters) };
  }

  /** Asks the process to end. */
  async shutdown(graceSeconds: number, seconds = 10): Promise<void> {
    await this.unary('Shutdown', this.client.shutdown, { gracePeriod: duration(graceSeconds) }, { seconds });
  }

  close(): void {
    this.client.close();
  }

  private unary<Request, Response>(
    name: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly signal?: AbortSignal | undefined; readonly seconds?: number },
  ): Promise<Response> {
    const { metadata } = this;
    return unaryCall(this.client, method, request, { ...options, metadata, toError: this.errorOf(name) });
  }

  private stream<Message>(name: string, call: ClientReadableStream<Message>, signal?: AbortSignal) {
    return messagesOf(call, { signal, toError: this.errorOf(name) });
  }

  private errorOf(name: string): (error: unknown) => Error {
    return (error) => toTrainerError(error, this.trainer, name);
  }
}

function toGenerationEvent({ response }: GenerateResponse): GenerationEvent | undefined {
  switch (response?.$case) {
    case 'sample':
      return { kind: 'sample', sample: toSample(response.value) };
    case 'progress': {
      const { samplesCompleted, samplesTotal, tokensDecoded, tokensPerSecond } = response.value;
      return {
        kind: 'progress',
        samplesCompleted,
        samplesTotal,
        tokensDecoded: Number(tokensDecoded),
        tokensPerSecond,
      };
    }
    // Tokens were not asked for, and the totals say nothing that the samples do not.
    case 'tokens':
    case 'completed':
    case undefined:
      return undefined;
  }
}

function duration(seconds: number): { seconds: bigint; nanos: number } {
  const whole = Math.floor(seconds);
  return { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) };
}
