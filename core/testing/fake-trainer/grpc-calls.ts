import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { ModelInvalidError } from './fake-model.js';
import { DataInvalidError } from './training-rows.js';

/** A refusal with a gRPC status and, where it has one, a stable code. */
export class Refusal extends Error {
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

/** Waits where the peer is behind: what is not read is not generated. */
export async function write<T>(call: ServerWritableStream<unknown, T>, message: T, signal: AbortSignal): Promise<void> {
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

export function unary<Request, Response>(
  handle: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handle(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

export function streaming<Request, Response>(
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
