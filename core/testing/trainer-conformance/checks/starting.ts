import { status } from '@grpc/grpc-js';
import { Capability, ExportRequest, GenerateRequest } from '../../../generated/simmer/trainer/v1/trainer.js';
import { isAlive, processIdentity } from '../../../process/process-identity.js';
import { demand, show } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import type { TrainerBench } from '../trainer-bench.js';
import type { TrainerUnderTest } from '../trainer-under-test.js';

/** Coming up, and saying what it is. */
export const startingChecks: readonly TrainerCheck[] = [
  {
    name: 'handshake',
    expects: 'the line SIMMER-TRAINER|1|1|ADDRESS on stdout once it serves, with the address that it was given',
    needs: [],
    async run(bench) {
      const { address, requestedAddress } = await bench.trainer();
      demand(address === requestedAddress, `the address ${requestedAddress}`, address);
    },
  },
  {
    name: 'health',
    expects: 'grpc.health.v1 to say SERVING for simmer.trainer.v1.TrainerService',
    needs: [],
    async run(bench) {
      demand(await (await bench.trainer()).isHealthy(), this.expects, 'another status');
    },
  },
  {
    name: 'describe',
    expects: 'Describe to name the trainer, its version, devices and capabilities, and the id of a living process',
    needs: [],
    async run(bench) {
      const described = await bench.describe();
      demand(described.name !== '' && described.version !== '', 'a name and a version', described);
      const known = new Set(Object.values(Capability));
      const codes = described.capabilities;
      const areFit = codes.every((code) => code !== Capability.CAPABILITY_UNSPECIFIED && known.has(code));
      demand(areFit && new Set(codes).size === codes.length, 'each known capability once at most', codes);
      const needsCheckpoint = codes.includes(Capability.CAPABILITY_DETERMINISTIC_RESUME);
      demand(
        !needsCheckpoint || codes.includes(Capability.CAPABILITY_CHECKPOINT),
        'CHECKPOINT where DETERMINISTIC_RESUME is declared',
        codes,
      );
      demand(described.devices.length > 0, 'at least one device', described.devices);
      const identity = await processIdentity(described.processId);
      const lives = identity !== undefined && (await isAlive(identity));
      demand(lives, 'process_id to be the id of a living process', described.processId);
    },
  },
  {
    name: 'undeclared',
    expects: 'UNIMPLEMENTED from every call whose capability is not declared',
    needs: [],
    async run(bench) {
      const trainer = await bench.trainer();
      const declared = await bench.capabilities();
      for (const [name, capability, call] of await undeclaredCalls(bench, trainer)) {
        if (declared.has(capability)) continue;
        const refusal = await trainer.refusal(call());
        demandStatus(refusal, [status.UNIMPLEMENTED], `UNIMPLEMENTED from ${name}`);
      }
    },
  },
  {
    name: 'token',
    expects: 'UNAUTHENTICATED, over TCP, from every call without "authorization: Bearer TOKEN"',
    needs: [],
    async run(bench) {
      const trainer = await bench.second();
      await trainer.call(trainer.client.describe, {});
      for (const token of [undefined, 'another']) {
        const metadata = trainer.metadataWith(token);
        const calls = {
          Describe: () => trainer.call(trainer.client.describe, {}, { metadata }),
          Shutdown: () => trainer.call(trainer.client.shutdown, { gracePeriod: undefined }, { metadata }),
          Watch: () => firstMessage(trainer, metadata),
        };
        for (const [name, call] of Object.entries(calls)) {
          const refusal = await trainer.refusal(call());
          const how = token === undefined ? 'without a token' : 'with another token';
          demandStatus(refusal, [status.UNAUTHENTICATED], `UNAUTHENTICATED from ${name} ${how}`);
        }
      }
    },
  },
];

async function firstMessage(trainer: TrainerUnderTest, metadata: ReturnType<TrainerUnderTest['metadataWith']>) {
  const call = trainer.client.watch({ attemptId: 'none', afterEventNumber: 0n }, metadata);
  for await (const message of trainer.messages(call)) return show(message);
  return undefined;
}

/** A call of each capability, as good as it can be without knowing the trainer. */
async function undeclaredCalls(bench: TrainerBench, trainer: TrainerUnderTest) {
  const { client } = trainer;
  const request = await bench.training();
  const attemptId = request.attemptId;
  const outputFolder = await bench.emptyFolder();
  const { model, trainingData, hyperparameters } = request;
  const generation = GenerateRequest.fromPartial({
    model,
    prompts: [{ id: 'p', prompt: { $case: 'text', value: 'one' } }],
    sampling: { maxAnswerTokens: 1, samples: 1 },
  });
  const exported = ExportRequest.fromPartial({ model, outputFolder });
  return [
    ['StartTraining', 'train', () => trainer.call(client.startTraining, request)],
    ['Watch', 'train', () => firstMessage(trainer, trainer.metadata)],
    ['Cancel', 'train', () => trainer.call(client.cancel, { attemptId, checkpointFirst: false })],
    ['Checkpoint', 'checkpoint', () => trainer.call(client.checkpoint, { attemptId })],
    ['Inspect', 'inspect', () => trainer.call(client.inspect, { model, trainingData, rows: [0], hyperparameters })],
    [
      'Generate',
      'generate',
      async () => {
        for await (const message of trainer.messages(client.generate(generation, trainer.metadata))) return message;
        return undefined;
      },
    ],
    ['Export', 'export', () => trainer.call(client.export, exported)],
  ] as const;
}
