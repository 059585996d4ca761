import { credentials, Metadata } from '@grpc/grpc-js';
import { LogLevel, type StageEvent } from '../../../core/generated/simmer/plugin/v1/event.js';
import {
  type EmitEventsRequest,
  type EmitEventsResponse,
  HostServiceClient,
} from '../../../core/generated/simmer/plugin/v1/host.js';

export const host = (() => {
  const client = new HostServiceClient(process.env.SIMMER_HOST_ADDRESS ?? 'unix:/none', credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${process.env.SIMMER_HOST_TOKEN}`);
  return { client, metadata };
})();

type HostMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  callback: (error: Error | null, response: Response) => void,
) => unknown;

export function asked<Request, Response>(method: HostMethod<Request, Response>, request: Request): Promise<Response> {
  return new Promise((resolve, reject) =>
    method.call(host.client, request, host.metadata, (error, response) => (error ? reject(error) : resolve(response))),
  );
}

export function emit(callId: string, event: StageEvent['event']): Promise<EmitEventsResponse> {
  return asked<EmitEventsRequest, EmitEventsResponse>(host.client.emitEvents, { callId, events: [{ event }] });
}

export function say(callId: string, message: string): Promise<EmitEventsResponse> {
  return emit(callId, { $case: 'logWritten', value: { level: LogLevel.LOG_LEVEL_INFO, message } });
}
