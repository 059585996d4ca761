import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  Capability,
  type StartTrainingRequest,
  type TrainerEvent,
  TrainerServiceService,
  type WatchRequest,
  WatchResponse,
} from '../../core/generated/simmer/trainer/v1/trainer.js';

/**
 * A trainer that sends steps as fast as they are taken, in batches that were made before the clock starts: what it costs
 * to make them is no part of what is measured. Both ways of the bench begin at such a process.
 */
const { SIMMER_TRAINER_ADDRESS: address = '', SIMMER_LEASE_SECONDS = '60' } = process.env;
const [steps, batchSize] = (process.argv[2] ?? '').split(',').map(Number) as [number, number];
let outputFolder = tmpdir();

const event = (number: number, value: TrainerEvent['event']): TrainerEvent => ({
  number: BigInt(number),
  time: new Date(),
  event: value,
});

function* batches(): Iterable<Buffer> {
  const encode = (events: TrainerEvent[]) => Buffer.from(WatchResponse.encode({ events }).finish());
  for (let step = 1; step <= steps; step += batchSize) {
    const count = Math.min(batchSize, steps - step + 1);
    yield encode(Array.from({ length: count }, (_, index) => stepEvent(step + index)));
  }
  const modelFolder = join(outputFolder, 'model');
  mkdirSync(modelFolder, { recursive: true });
  writeFileSync(join(modelFolder, 'config.json'), '{"model_type":"fake"}');
  writeFileSync(join(modelFolder, 'model.safetensors'), Buffer.from('\u0002\0\0\0\0\0\0\0{}'));
  const value = { steps, modelFolder, seconds: 1, finalLoss: 1, peakMemoryBytes: 1n };
  yield encode([event(steps + 1, { $case: 'trainingCompleted', value })]);
}

function stepEvent(step: number): TrainerEvent {
  return event(step, {
    $case: 'stepLogged',
    value: {
      step,
      epoch: step / 1000,
      loss: 3 / (1 + step / 1000),
      learningRate: 1e-5,
      gradientNorm: 0.73,
      tokensSeen: BigInt(step * 4096),
      tokensPerSecond: 10_471.5,
      peakMemoryBytes: 80_000_000_000n,
      rerun: false,
      rowsSeen: BigInt(step * 16),
    },
  });
}

const answer =
  <Request, Response>(make: (request: Request) => Response) =>
  (call: ServerUnaryCall<Request, Response>, callback: (error: null, response: Response) => void) =>
    callback(null, make(call.request));

const server = new Server();
server.addService(
  { ...TrainerServiceService, watch: { ...TrainerServiceService.watch, responseSerialize: (bytes: Buffer) => bytes } },
  {
    describe: answer(() => ({
      name: 'bench',
      version: '1',
      capabilities: [Capability.CAPABILITY_TRAIN],
      versions: {},
      devices: [],
      runningAttemptId: undefined,
      processId: process.pid,
    })),
    startTraining: answer((request: StartTrainingRequest) => {
      outputFolder = request.outputFolder;
      return { alreadyStarted: false };
    }),
    async watch(call: ServerWritableStream<WatchRequest, Buffer>) {
      const made = [...batches()];
      for (const batch of made) {
        if (!call.write(batch)) await new Promise((resolve) => call.once('drain', resolve));
      }
      call.end();
    },
    renewLease: answer(() => ({ expiresAt: new Date(Date.now() + Number(SIMMER_LEASE_SECONDS) * 1000) })),
    cancel: answer(() => ({ wasRunning: false })),
    shutdown: answer(() => {
      setTimeout(() => process.exit(0), 50);
      return {};
    }),
  },
);
new HealthImplementation({ 'simmer.trainer.v1.TrainerService': 'SERVING', '': 'SERVING' }).addToServer(server);
server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.stdout.write(`SIMMER-TRAINER|1|1|${address}\n`);
});
process.once('SIGTERM', () => process.exit(0));
