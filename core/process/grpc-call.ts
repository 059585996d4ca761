import {
  type CallOptions,
  type Client,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';

/** A call of one request and one response, as generated clients have it. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

interface CallSettings {
  /** Cancels the call; its reason is thrown then. */
  readonly signal?: AbortSignal | undefined;
  /** What a failure means. @default as gRPC says it */
  toError?(error: ServiceError): Error;
}

interface UnarySettings extends CallSettings {
  /** @default none */
  readonly metadata?: Metadata;
  /** Within which it must be answered. @default no limit */
  readonly seconds?: number | undefined;
}

const asItIs = (error: ServiceError): Error => error;

/** The response of a call. */
export function unaryCall<Request, Response>(
  client: Client,
  method: UnaryMethod<Request, Response>,
  request: Request,
  { metadata = new Metadata(), seconds, signal, toError = asItIs }: UnarySettings = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const deadline = seconds === undefined ? {} : { deadline: Date.now() + seconds * 1000 };
    const call = method.call(client, request, metadata, deadline, (error, response) => {
      signal?.removeEventListener('abort', cancel);
      if (error === null) resolve(response);
      else reject(signal?.aborted ? signal.reason : toError(error));
    });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** The messages of a stream, pulled one by one: HTTP/2 flow control then reaches the other side. Left early, it is canceled. */
export async function* messagesOf<Message>(
  call: ClientReadableStream<Message>,
  { signal, toError = asItIs }: CallSettings = {},
): AsyncGenerator<Message> {
  const cancel = () => call.cancel();
  // grpc-js emits the error of a call that was left early when nobody iterates any more.
  call.on('error', () => {});
  if (signal?.aborted) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of call as AsyncIterable<Message>) {
      signal?.throwIfAborted();
      yield message;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toError(error as ServiceError);
  } finally {
    signal?.removeEventListener('abort', cancel);
    cancel();
  }
}
