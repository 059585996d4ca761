import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred } from '../../core/deferred.js';
import { redacted, redactor } from '../../core/events/redaction.js';
import { TrainerServiceClient } from '../../core/generated/simmer/trainer/v1/trainer.js';
import type { LauncherDefinition } from '../../core/plugin/definitions.js';
import { fakeTrainerPlugin } from '../../core/testing/fake-trainer-plugin.js';
import { EventMemory } from '../../core/trainer/event-memory.js';
import { GpuDevices } from '../../core/trainer/gpu-devices.js';
import type { GenerationEvent, Sample } from '../../core/trainer/trainer.js';
import launchers from '../../plugins/launchers/plugin.js';
import { TrainerBench } from './trainer-bench.js';

let bench: TrainerBench;
beforeEach(async () => {
  bench = await TrainerBench.open();
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

async function samplesOf(events: AsyncIterable<GenerationEvent>): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const event of events) if (event.kind === 'sample') samples.push(event.sample);
  return samples;
}

describe('starting a trainer', () => {
  it('names the line where the handshake is rubbish, and leaves no process', async () => {
    const supervisor = bench.supervise({ handshake: 'SIMMER-TRAINER|nonsense' });
    await expect(bench.stage(supervisor).describe()).rejects.toMatchObject({
      code: 'handshake_failed',
      kind: 'environment',
      message: expect.stringContaining('"SIMMER-TRAINER|nonsense" is not SIMMER-TRAINER|1|1|ADDRESS'),
    });
    expect(await bench.alive()).toEqual([]);
  });

  it('says which versions do not fit', async () => {
    const supervisor = bench.supervise({ handshake: 'SIMMER-TRAINER|1|2|unix:/nowhere' });
    await expect(bench.stage(supervisor).describe()).rejects.toThrow('speaks version 2 of the protocol');
  });

  it('gives the exit code and the end of stderr where it exits at once', async () => {
    const supervisor = bench.supervise({ exitCode: 7 });
    await expect(bench.stage(supervisor).describe()).rejects.toMatchObject({
      code: 'handshake_failed',
      message: expect.stringMatching(/exit code 7.*exits with code 7, as it was told/s),
    });
  });

  it('is over, when it is interrupted, once what was prepared by half is removed', async () => {
    const definition = fakeTrainerPlugin.trainers!.fake!;
    const stop = new AbortController();
    const { promise: removed, resolve: remove } = deferred<void>();
    const { promise: begun, resolve: begin } = deferred<void>();
    const prepare: typeof definition.prepare = async (options, context) => {
      begin();
      await removed;
      return definition.prepare(options, context);
    };
    const supervisor = bench.supervise({}, { definition: { ...definition, prepare } });
    const described = expect(bench.stage(supervisor, stop.signal).describe()).rejects.toThrow('Ctrl-C');
    let isOver = false;
    void described.then(() => {
      isOver = true;
    });
    await begun;
    stop.abort(new Error('Ctrl-C'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    remove();
    await described;
    expect(bench.of('log.written')).toEqual([]);
  });

  it('can be interrupted while it waits for the handshake', async () => {
    const stop = new AbortController();
    const supervisor = bench.supervise({ startMilliseconds: 60_000 });
    const description = bench.stage(supervisor, stop.signal).describe();
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 300);
    await expect(description).rejects.toThrow('Ctrl-C');
    expect(supervisor.processIds()).toEqual([]);
  });

  it('gives each a GPU of its own, which it keeps when another core takes it up', async () => {
    const { local } = launchers.launchers ?? {};
    if (local === undefined) throw new Error('there is no local launcher');
    const seen: unknown[] = [];
    const launcher: LauncherDefinition = {
      ...local,
      launch: (request, options) => {
        seen.push(request.devices);
        return local.launch(request, options);
      },
    };
    const own = (name: string) => {
      const planned = { name, resources: { gpus: 1 } };
      return bench.supervise({}, { planned, launcher, gpus: new GpuDevices(bench.folder, ['3', '5']) });
    };
    const [one, other] = [own('one'), own('other')];
    const { processId } = await bench.stage(one).describe();
    await one.dispose('leave');
    const again = own('one');
    expect((await bench.stage(again).describe()).processId).toBe(processId);
    await bench.stage(other).describe();
    expect(seen).toEqual([['3'], ['5']]);
    await Promise.all([again, other].map((supervisor) => supervisor.dispose('shutdown')));
  });

  it('says what a stage waits for, before the first step and the first tokens', async () => {
    const supervisor = bench.supervise();
    const [training, generating] = [bench.stage(supervisor), bench.stage(supervisor)];
    await training.train(bench.training());
    for (let time = 0; time < 2; time++) await samplesOf(generating.generate(bench.generation(1)));
    expect(bench.of('log.written').map(({ attempt, data }) => [attempt, data.message])).toEqual([
      [1, 'Starting trainer student.'],
      [1, 'Trainer student reads rows and loads the model.'],
      [2, 'Trainer student loads the model.'],
    ]);
    const first = bench.of('step.logged')[0]!;
    expect(bench.of('log.written')[1]!.sequence).toBeLessThan(first.sequence);
  });

  it('is done once for calls that come at the same time', async () => {
    const supervisor = bench.supervise();
    const trainer = bench.stage(supervisor);
    const [first, second] = await Promise.all([trainer.describe(), trainer.describe()]);
    expect(first.processId).toBe(second.processId);
    expect(first.capabilities).toContain('generate');
    expect(bench.of('trainer.started')).toHaveLength(1);
    await supervisor.dispose('shutdown');
  });

  it('over TCP demands the token of every call', async () => {
    const supervisor = bench.supervise({}, { transport: 'tcp' });
    await bench.stage(supervisor).describe();
    const address = bench.of('trainer.started')[0]?.data.address as string;
    expect(address).toMatch(/^127\.0\.0\.1:\d{2,5}$/);

    const refused = async (authorization?: string) => {
      const client = new TrainerServiceClient(address, credentials.createInsecure());
      const metadata = new Metadata();
      if (authorization !== undefined) metadata.set('authorization', authorization);
      try {
        return await new Promise((resolve) => client.describe({}, metadata, (error) => resolve(error?.code)));
      } finally {
        client.close();
      }
    };
    expect(await refused()).toBe(status.UNAUTHENTICATED);
    expect(await refused('Bearer wrong')).toBe(status.UNAUTHENTICATED);

    const record = join(bench.folder, 'trainers', 'student', 'process.json');
    const { token } = JSON.parse(await readFile(record, 'utf8')) as { token: string };
    expect(await refused(`Bearer ${token}`)).toBeUndefined();
    // Whatever the trainer says of it is not told on.
    expect(redactor({})(`it is ${token}.`)).toBe(`it is ${redacted}.`);
    await supervisor.dispose('shutdown');
  });

  it('over TCP lets the next core in, too', async () => {
    const first = bench.supervise({}, { transport: 'tcp' });
    const { processId } = await bench.stage(first).describe();
    await first.dispose('leave');
    const second = bench.supervise({}, { transport: 'tcp' });
    expect((await bench.stage(second).describe()).processId).toBe(processId);
    await second.dispose('shutdown');
    expect(await bench.alive()).toEqual([]);
  });
});

describe('the lease', () => {
  it('keeps a trainer alive that has nothing to do', async () => {
    // Time enough to renew it on a machine that is busy.
    const supervisor = bench.supervise({}, { leaseSeconds: 3 });
    await bench.stage(supervisor).describe();
    await wait(5000);
    expect(await bench.alive()).toHaveLength(1);
    await supervisor.dispose('shutdown');
  });

  it('ends a trainer that no core renews it for, after a checkpoint', async () => {
    const supervisor = bench.supervise({ stepMilliseconds: 20 }, { leaseSeconds: 3 });
    const training = bench.stage(supervisor).train(bench.training({ maxSteps: 100_000, checkpointEverySteps: 0 }));
    await bench.step(3);
    await Promise.all([expect(training).rejects.toThrow(), supervisor.dispose('leave')]);

    await expect.poll(() => bench.alive()).toEqual([]);
    const checkpoints = join(bench.folder, 'scratch', 'training-student-1', 'checkpoints');
    expect(await readdir(checkpoints)).toHaveLength(1);
  });
});

describe('a generation', () => {
  it('answers every prompt under every policy, over several requests, and counts as it goes', async () => {
    const supervisor = bench.supervise();
    const request = bench.generation(600, {
      policies: [
        { id: 'short', maxThinkingTokens: 8, ignoreEndCount: 0, word: 'Wait', spendingRule: 'total' },
        { id: 'twice', ignoreEndCount: 2, word: 'Wait', spendingRule: 'total' },
      ],
    });
    const samples: Sample[] = [];
    const completed: number[] = [];
    for await (const event of bench.stage(supervisor).generate(request)) {
      if (event.kind === 'sample') samples.push(event.sample);
      else {
        expect(event.samplesTotal).toBe(1200);
        completed.push(event.samplesCompleted);
      }
    }
    expect(new Set(samples.map((sample) => `${sample.promptId} ${sample.policyId}`)).size).toBe(1200);
    expect(completed).toEqual([...completed].sort((a, b) => a - b));

    const short = samples.find((sample) => sample.policyId === 'short');
    expect(short).toMatchObject({ thinkingEnd: 'forced', finishReason: 'stop' });
    expect(short?.thinkingTokenIds).toHaveLength(8);
    expect(short?.interventions).toMatchObject([{ kind: 'ended', position: 8 }]);
    expect(short?.sharedThinkingTokens).toBe(8);
    const twice = samples.find((sample) => sample.policyId === 'twice');
    expect(twice?.thinkingEnd).toBe('natural');
    expect(twice?.interventions.map((item) => [item.kind, item.text])).toEqual([
      ['extended', 'Wait'],
      ['extended', 'Wait'],
    ]);
    expect(twice?.thinking.split(' ').filter((word) => word === 'Wait')).toHaveLength(2);
    await supervisor.dispose('shutdown');
  });

  it('asks again only for what is missing when the trainer dies, and gives no sample twice', async () => {
    const request = bench.generation(40, { sampling: { ...bench.generation(0).sampling, samples: 3, temperature: 1 } });
    const undisturbed = bench.supervise({}, { runFolder: join(bench.folder, 'undisturbed') });
    const expected = await samplesOf(bench.stage(undisturbed).generate(request));
    await undisturbed.dispose('shutdown');

    const supervisor = bench.supervise({ crashAtSample: 50 }, { memory: new EventMemory('student') });
    const samples = await samplesOf(bench.stage(supervisor).generate(request));
    await supervisor.dispose('shutdown');

    const key = (sample: Sample) => `${sample.promptId}/${sample.sampleIndex}`;
    expect(samples).toHaveLength(120);
    expect(new Map(samples.map((sample) => [key(sample), sample]))).toEqual(
      new Map(expected.map((sample) => [key(sample), sample])),
    );
    expect(bench.of('trainer.exited').filter((event) => !event.data.expected)).toHaveLength(1);
  });

  it('ends when it is left, and lets the next call in', async () => {
    const supervisor = bench.supervise({ sampleMilliseconds: 2 });
    const trainer = bench.stage(supervisor);
    let count = 0;
    for await (const event of trainer.generate(bench.generation(200))) {
      if (event.kind === 'sample') count += 1;
      if (count === 3) break;
    }
    expect(await samplesOf(trainer.generate(bench.generation(2)))).toHaveLength(2);
    await supervisor.dispose('shutdown');
  });

  it('is canceled by the stage’s signal', async () => {
    const stop = new AbortController();
    const supervisor = bench.supervise({ sampleMilliseconds: 5 });
    const read = async () => {
      for await (const event of bench.stage(supervisor, stop.signal).generate(bench.generation(200))) {
        if (event.kind === 'sample') stop.abort(new Error('Ctrl-C'));
      }
    };
    await expect(read()).rejects.toThrow('Ctrl-C');
    await supervisor.dispose('shutdown');
  });
});

describe('other calls', () => {
  it('export a model into a folder, and inspect rows', async () => {
    const supervisor = bench.supervise();
    const trainer = bench.stage(supervisor);
    const outputFolder = join(bench.folder, 'exported');
    await mkdir(outputFolder);
    const exported = await trainer.export({ model: bench.training().model, outputFolder });
    expect(exported).toMatchObject({ architecture: 'FakeForCausalLM', parameters: 32 });
    expect((await readdir(outputFolder)).sort()).toEqual([...exported.files].sort());

    const [row] = await trainer.inspect(bench.training(), [3]);
    expect(row?.tokens).toEqual(['What', 'is', '3', 'and', 'one?', 'It', 'is', '4']);
    expect(row?.trained).toEqual([false, false, false, false, false, true, true, true]);
    await supervisor.dispose('shutdown');
  });

  it('say which model folder is none', async () => {
    const supervisor = bench.supervise();
    const request = bench.generation(1, { model: { kind: 'folder', folder: '/nowhere' } });
    await expect(samplesOf(bench.stage(supervisor).generate(request))).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('/nowhere is no model folder'),
    });
    await supervisor.dispose('shutdown');
  });
});

describe('shutting down', () => {
  it('kills a trainer that hangs', async () => {
    const supervisor = bench.supervise({ hangAtStep: 2 }, { graceMilliseconds: 300 });
    const training = bench.stage(supervisor).train(bench.training());
    await bench.step(1);
    await Promise.all([expect(training).rejects.toThrow(), supervisor.dispose('shutdown')]);
    expect(bench.of('trainer.exited')[0]?.data).toMatchObject({ expected: true });
    expect(await bench.alive()).toEqual([]);
  });

  it('lets a trainer that has answered take its time to end', async () => {
    const definition = fakeTrainerPlugin.trainers!.fake!;
    const supervisor = bench.supervise(
      {},
      {
        definition: {
          ...definition,
          async prepare(...given) {
            const command = await definition.prepare(...given);
            // As one does that sends its last figures to a server.
            return { ...command, argv: ['sh', '-c', '"$@" && sleep 4', 'sh', ...command.argv] };
          },
        },
      },
    );
    await bench.stage(supervisor).describe();
    await supervisor.dispose('shutdown');
    expect(bench.of('trainer.exited')[0]?.data).toMatchObject({ exitCode: 0, signal: null, expected: true });
  });

  it('removes the socket and its folder', async () => {
    const supervisor = bench.supervise();
    await bench.stage(supervisor).describe();
    const socket = String(bench.of('trainer.started')[0]?.data.address).slice('unix:'.length);
    await supervisor.dispose('shutdown');
    await expect(readdir(join(socket, '..'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
