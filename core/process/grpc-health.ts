import { type ChannelOptions, credentials, Metadata } from '@grpc/grpc-js';
import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
} from '../generated/health/v1/health.js';

interface HealthQuestion {
  readonly address: string;
  readonly service: string;
  readonly channelOptions: ChannelOptions;
  /** @default none */
  readonly metadata?: Metadata;
  readonly timeoutMilliseconds: number;
  /** Resolves when whoever would answer is gone: nothing is waited for any more. */
  readonly gone?: Promise<unknown>;
}

/**
 * Asks grpc.health.v1 whether a service is being served; waits for the connection, at most until the deadline.
 * @throws the gRPC error where nothing answers, an error where its process is gone
 */
export async function checkHealth(options: HealthQuestion): Promise<boolean> {
  const client = new HealthClient(options.address, credentials.createInsecure(), options.channelOptions);
  const deadline = Date.now() + options.timeoutMilliseconds;
  const ask = async () => {
    await new Promise<void>((resolve, reject) =>
      client.waitForReady(deadline, (error) => (error === undefined ? resolve() : reject(error))),
    );
    return new Promise<HealthCheckResponse>((resolve, reject) => {
      const { service, metadata = new Metadata() } = options;
      client.check({ service }, metadata, { deadline }, (error, value) =>
        error === null ? resolve(value) : reject(error),
      );
    });
  };
  const gone = options.gone?.then(() => Promise.reject(new Error('Its process has ended.')));
  try {
    const response = await Promise.race(gone === undefined ? [ask()] : [ask(), gone]);
    return response.status === HealthCheckResponse_ServingStatus.SERVING;
  } finally {
    client.close();
  }
}

/** As `checkHealth`; false where nothing answers. */
export function isServing(options: HealthQuestion): Promise<boolean> {
  return checkHealth(options).catch(() => false);
}
