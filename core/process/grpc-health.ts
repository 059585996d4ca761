import { type ChannelCredentials, type ChannelOptions, type Metadata, makeClientConstructor } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

type Check = (
  request: { service: string },
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: Error | null, response?: { status: string | number }) => void,
) => void;

/**
 * Asks grpc.health.v1 whether a service is being served; waits for the connection, at most until the deadline.
 * @throws the gRPC error where nothing answers
 */
export async function checkHealth(options: {
  readonly address: string;
  readonly service: string;
  readonly credentials: ChannelCredentials;
  readonly channelOptions: ChannelOptions;
  readonly metadata: Metadata;
  readonly timeoutMilliseconds: number;
}): Promise<boolean> {
  const HealthClient = makeClientConstructor(service, 'Health');
  const client = new HealthClient(options.address, options.credentials, options.channelOptions);
  const deadline = Date.now() + options.timeoutMilliseconds;
  try {
    await new Promise<void>((resolve, reject) =>
      client.waitForReady(deadline, (error) => (error === undefined ? resolve() : reject(error))),
    );
    const response = await new Promise<{ status: string | number }>((resolve, reject) => {
      (client as unknown as { check: Check }).check(
        { service: options.service },
        options.metadata,
        { deadline },
        (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
      );
    });
    return response.status === 'SERVING' || response.status === 1;
  } finally {
    client.close();
  }
}
