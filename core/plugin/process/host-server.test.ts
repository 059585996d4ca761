import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { UserError } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { ArtifactType } from '../../generated/simmer/plugin/v1/artifact.js';
import { LogLevel } from '../../generated/simmer/plugin/v1/event.js';
import { HostServiceClient } from '../../generated/simmer/plugin/v1/host.js';
import { Capability, ExportFormat, Hyperparameters, Precision } from '../../generated/simmer/trainer/v1/trainer.js';
import { memoryArtifact, memoryTable } from '../../testing/run-stage.js';
import type { Trainer } from '../../trainer/trainer.js';
import type { StageEvent } from '../definitions.js';
import type { TrainerJob } from '../estimate.js';
import { silentLog as log } from '../log.js';
import { HostServer } from './host-server.js';
import { type HostedContext, HostedSpending, HostedStage } from './hosted-call.js';

const dataset = memoryTable({ id: 'VARCHAR' }, [{ id: '1' }]);
const emptyHyperparameters = Hyperparameters.fromPartial({});
const model = memoryArtifact('model', '/models/tiny');

const unasked = {
  trainer: () => async () => ({}),
  grader: async () => undefined,
  kept: async () => ({ others: [] }),
};

let folder: string;
let host: HostServer;
let client: HostServiceClient;
let stopping: AbortController;
let said: StageEvent[];
let exported: unknown[];
let inspecting: Trainer['inspect'];

const student = {
  inspect: (...asked: Parameters<Trainer['inspect']>) => inspecting(...asked),
  export: async (request: unknown) => void exported.push(request),
  describe: async () => ({
    ...{ name: 'fake', version: '1.0', versions: { torch: '2' }, processId: 7 },
    capabilities: new Set(['train', 'deterministicResume']),
    devices: [{ name: 'cpu', model: 'a core', supportsBfloat16: false, memoryBytes: 5 }],
  }),
};

beforeEach(async () => {
  folder = await temporaryFolder();
  host = await HostServer.start(join(folder, 'host.sock'));
  client = new HostServiceClient(host.address, credentials.createInsecure());
  stopping = new AbortController();
  said = [];
  exported = [];
  const context = {
    signal: stopping.signal,
    log,
    scratchFolder: join(folder, 'scratch'),
    keptFolder: async (of: object) => join(folder, JSON.stringify(of)),
    artifacts: {
      temporaryFolder: async () => folder,
      commitModel: async () => model,
      writeReport: async () => memoryArtifact('report', folder),
      writeDataset: async (_rows: unknown, { columns }: { columns: Record<string, string> }) =>
        memoryTable(columns, []),
    },
    emit: async (event: StageEvent) => void said.push(event),
    spending: { isLimited: false, reserve: async () => ({ settle() {} }) },
    trainer: async (name: string) => {
      if (name === 'student') return student;
      throw new UserError('trainer_not_declared', `It asked for ${name}.`, { kind: 'runFailed', hint: 'Declare it.' });
    },
    grader: async () => {
      throw new Error('the grader is broken');
    },
  } as unknown as HostedContext;
  const spending = new HostedSpending(context.spending);
  host.serve({ id: 'stage', log, spending, stage: new HostedStage(context, folder, [dataset, model]) });
  const keptFolder = async (of: object) => join(folder, 'grader', JSON.stringify(of));
  const emitProgress = async (event: StageEvent) => void said.push(event);
  host.serve({ id: 'grader', log, spending, emitProgress, keptFolder });
  host.serve({ id: 'hook', log });
});

afterEach(async () => {
  client.close();
  host[Symbol.dispose]();
});

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** What came of a call: the answer, or the name of its status and its stable code. */
function ask<Request, Response>(method: Method<Request, Response>, request: Request, token = host.token) {
  const metadata = new Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  return new Promise<Response | readonly string[]>((resolve) =>
    method.call(client, request, metadata, (error, response) =>
      resolve(error ? [status[error.code]!, String(error.metadata.get('simmer-error-code')[0] ?? '')] : response),
    ),
  );
}

const table = (parquetFile: string) => ({
  callId: 'stage',
  type: ArtifactType.ARTIFACT_TYPE_DATASET,
  parquetFile,
  columns: [],
  metadata: undefined,
});

describe('the host of a plugin process', () => {
  it('answers nobody without its token', async () => {
    const request = { callId: 'stage', uri: dataset.uri };
    expect(await ask(client.openArtifact, request, '')).toEqual(['UNAUTHENTICATED', '']);
    expect(await ask(client.openArtifact, request, `${host.token}0`)).toEqual(['UNAUTHENTICATED', '']);
    expect(await ask(client.openArtifact, request)).toMatchObject({ artifact: { uri: dataset.uri, rowCount: 1n } });
  });

  it('answers only for calls that run', async () => {
    const served = host.serve({ id: 'other', log });
    const request = { callId: 'other', events: [] };
    expect(await ask(client.emitEvents, request)).toEqual({});
    served[Symbol.dispose]();
    expect(await ask(client.emitEvents, request)).toEqual(['NOT_FOUND', 'call_unknown']);
  });

  it('lets a grader do what graders may, and no more', async () => {
    const report = { callId: 'grader', json: '{}', metadata: undefined };
    expect(await ask(client.commitReport, report)).toEqual(['PERMISSION_DENIED', 'not_allowed']);
    expect(await ask(client.openArtifact, { callId: 'grader', uri: dataset.uri })).toEqual([
      'PERMISSION_DENIED',
      'not_allowed',
    ]);
    const progress = { done: 1n, total: undefined, unit: 'rows', secondsLeft: undefined, figures: {} };
    const event = { event: { $case: 'stageProgressed', value: progress } } as const;
    expect(await ask(client.emitEvents, { callId: 'grader', events: [event] })).toEqual({});
    expect(said).toMatchObject([{ type: 'stage.progressed', data: { done: 1, unit: 'rows' } }]);
    const refused = ['PERMISSION_DENIED', 'not_allowed'];
    expect(await ask(client.emitEvents, { callId: 'hook', events: [event] })).toEqual(refused);
    const counted = { step: 's', rowsIn: 1n, rowsOut: 1n, dropped: {} };
    const funnel = { event: { $case: 'funnelCounted', value: counted } } as const;
    expect(await ask(client.emitEvents, { callId: 'grader', events: [funnel] })).toEqual(refused);
  });

  it('gives a stage and a grader the folder of what they were paid for, and nobody else', async () => {
    const asked = (callId: string) => ask(client.openKeptFolder, { callId, of: { model: 'r1', most: 3 } });
    expect(await asked('stage')).toEqual({ folder: join(folder, '{"model":"r1","most":3}') });
    expect(await asked('grader')).toEqual({ folder: join(folder, 'grader', '{"model":"r1","most":3}') });
    expect(await asked('hook')).toEqual(['PERMISSION_DENIED', 'not_allowed']);
  });

  it('opens only what the stage was given or made', async () => {
    const other = `simmer://dataset/sha256-${'f'.repeat(64)}`;
    expect(await ask(client.openArtifact, { callId: 'stage', uri: other })).toEqual(['NOT_FOUND', 'artifact_missing']);
    const report = { callId: 'stage', json: '{}', metadata: undefined };
    const made = (await ask(client.commitReport, report)) as unknown as { artifact: { uri: string } };
    expect(await ask(client.openArtifact, { callId: 'stage', uri: made.artifact.uri })).toMatchObject(made);
  });

  it('takes files from the stage’s own folders alone, links followed', async () => {
    await writeFile(join(folder, 'own.parquet'), 'not a table');
    await symlink('/etc/hostname', join(folder, 'link.parquet'));
    for (const path of [
      '/etc/hostname',
      join(folder, 'link.parquet'),
      'own.parquet',
      join(folder, 'gone.parquet'),
      folder,
    ]) {
      expect([path, await ask(client.commitTable, table(path))]).toEqual([
        path,
        ['INVALID_ARGUMENT', 'path_not_allowed'],
      ]);
    }
    const own = table(join(folder, 'own.parquet'));
    expect(await ask(client.commitTable, own)).toEqual(['INVALID_ARGUMENT', 'invalid_table_file']);
  });

  it('says what is wrong with what is said', async () => {
    const value = { name: 'x', value: Number.NaN, interval: undefined, count: undefined, unit: undefined, labels: {} };
    const event = { event: { $case: 'metricMeasured', value } } as const;
    expect(await ask(client.emitEvents, { callId: 'stage', events: [event] })).toEqual([
      'INVALID_ARGUMENT',
      'plugin_event_invalid',
    ]);
    expect(await ask(client.emitEvents, { callId: 'stage', events: [{ event: undefined }] })).toEqual([
      'INVALID_ARGUMENT',
      'plugin_event_invalid',
    ]);
    expect(said).toEqual([]);
    const report = { callId: 'stage', json: '{', metadata: undefined };
    expect(await ask(client.commitReport, report)).toEqual(['INVALID_ARGUMENT', 'request_invalid']);
  });

  it('estimates work of trainers for an estimate alone, in the core’s own terms', async () => {
    const jobs: unknown[] = [];
    const trainer = (name: string) => async (job: TrainerJob) => {
      jobs.push([name, job]);
      return name === 'student' ? { seconds: 9, memory: [{ part: 'weights', bytes: 5 }] } : {};
    };
    host.serve({ id: 'estimate', estimate: { ...unasked, trainer } });
    const value = {
      ...{ model: { config: { layers: 2 } }, prompts: 6n, tokensPerPrompt: 16n, longestSequence: 64n },
      ...{ batchSize: undefined, precision: Precision.PRECISION_BFLOAT16 },
    };
    const asked = { callId: 'estimate', trainer: 'student', job: { $case: 'generation', value } } as const;
    const none = { time: [], isAtMost: false, advice: [], figures: {}, notes: [] };
    expect(await ask(client.estimateJob, asked)).toEqual({
      estimate: { ...none, seconds: 9, memory: [{ part: 'weights', bytes: 5 }] },
    });
    expect(await ask(client.estimateJob, { ...asked, trainer: 'other' })).toEqual({
      estimate: { ...none, memory: [] },
    });
    const sizes = { prompts: 6, tokensPerPrompt: 16, longestSequence: 64, precision: 'bfloat16' };
    const job = { kind: 'generation', model: { config: { layers: 2 } }, ...sizes };
    expect(jobs).toEqual([
      ['student', job],
      ['other', job],
    ]);
    expect(await ask(client.estimateJob, { ...asked, callId: 'stage' })).toEqual(['PERMISSION_DENIED', 'not_allowed']);
    const line = { $case: 'logWritten', value: { level: LogLevel.LOG_LEVEL_INFO, message: 'psst' } } as const;
    const said = { callId: 'estimate', events: [{ event: line }] };
    expect(await ask(client.emitEvents, said)).toEqual(['PERMISSION_DENIED', 'not_allowed']);
    const empty = { ...asked, job: undefined };
    expect(await ask(client.estimateJob, empty)).toEqual(['INVALID_ARGUMENT', 'request_invalid']);
  });

  it('estimates grading, and finds what was paid for, for an estimate alone', async () => {
    const asked: unknown[] = [];
    const grader = async (...question: unknown[]) => {
      asked.push(question);
      return asked.length === 1 ? { usd: 3, notes: ['Dear.'] } : undefined;
    };
    const kept = async (of: object) => ({ own: `/kept/${JSON.stringify(of)}`, others: ['/kept/other'] });
    host.serve({ id: 'estimate', estimate: { ...unasked, grader, kept } });
    const grading = { callId: 'estimate', uses: 'eval/judge', options: { model: 'm' }, answers: 7n };
    const none = { time: [], memory: [], isAtMost: false, advice: [], figures: {} };
    expect(await ask(client.estimateGrading, grading)).toEqual({
      estimate: { usd: 3, work: { ...none, notes: ['Dear.'] } },
    });
    const little = { ...grading, options: undefined, answers: undefined };
    expect(await ask(client.estimateGrading, little)).toEqual({});
    expect(asked).toEqual([
      [{ uses: 'eval/judge', with: { model: 'm' } }, 7],
      [{ uses: 'eval/judge', with: {} }, undefined],
    ]);
    const folders = { callId: 'estimate', of: { model: 'm' } };
    expect(await ask(client.findKeptFolders, folders)).toEqual({ own: '/kept/{"model":"m"}', others: ['/kept/other'] });
    const refused = ['PERMISSION_DENIED', 'not_allowed'];
    expect(await ask(client.estimateGrading, { ...grading, callId: 'stage' })).toEqual(refused);
    expect(await ask(client.findKeptFolders, { ...folders, callId: 'stage' })).toEqual(refused);
  });

  it('inspects with a trainer that the options name, and only what the stage has', async () => {
    const hyperparameters = { ...emptyHyperparameters, maxSequenceLength: 64 };
    const asked = {
      ...{ callId: 'stage', trainer: 'student', modelUri: model.uri, datasetUri: dataset.uri, rows: [1] },
      ...{ hyperparameters, extensions: undefined },
    };
    const row = { row: 1, tokenIds: [4, 5], tokens: ['a', 'b'], trained: [false, true], truncated: false };
    inspecting = async (request, rows) => {
      expect([request.trainingData, request.hyperparameters.maxSequenceLength, rows]).toEqual([
        dataset.path('data.parquet'),
        64,
        [1],
      ]);
      return [row];
    };
    expect(await ask(client.inspect, asked)).toEqual({ rows: [row] });
    expect(await ask(client.inspect, { ...asked, trainer: 'other' })).toEqual([
      'PERMISSION_DENIED',
      'trainer_not_declared',
    ]);
    expect(await ask(client.inspect, { ...asked, datasetUri: model.uri })).toEqual([
      'INVALID_ARGUMENT',
      'request_invalid',
    ]);
    expect(await ask(client.inspect, { ...asked, hyperparameters: undefined })).toEqual([
      'INVALID_ARGUMENT',
      'request_invalid',
    ]);
  });

  it('says what a trainer that the options name is', async () => {
    const asked = { callId: 'stage', trainer: 'student' };
    expect(await ask(client.describeTrainer, asked)).toEqual({
      ...{ name: 'fake', version: '1.0', versions: { torch: '2' } },
      capabilities: [Capability.CAPABILITY_TRAIN, Capability.CAPABILITY_DETERMINISTIC_RESUME],
      devices: [{ name: 'cpu', model: 'a core', supportsBfloat16: false, memoryBytes: 5n }],
    });
    expect(await ask(client.describeTrainer, { ...asked, callId: 'grader' })).toEqual([
      'PERMISSION_DENIED',
      'not_allowed',
    ]);
  });

  it('exports in the format and the precision that are asked for', async () => {
    const asked = {
      ...{ callId: 'stage', trainer: 'student', modelUri: model.uri, adapterUri: undefined, metadata: {} },
      ...{ precision: Precision.PRECISION_FLOAT32, format: ExportFormat.EXPORT_FORMAT_GGUF },
    };
    expect(await ask(client.export, asked)).toMatchObject({ model: { uri: model.uri } });
    expect(exported).toMatchObject([{ format: 'gguf', precision: 'float32', outputFolder: folder }]);
  });

  it('reads the log of a run to a sink alone', async () => {
    const events = [{ type: 'run.started' }, { type: 'run.completed' }];
    async function* eventsOf(runId: string, stageKeys?: readonly string[]) {
      if (runId === 'earlier') yield* events as Event[];
      if (stageKeys !== undefined) yield { type: 'step.logged', data: { stageKeys } } as unknown as Event;
    }
    host.serve({ id: 'sink', log, eventsOf });
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${host.token}`);
    const read = async (callId: string, runId: string, stageKeys: string[] = []) => {
      const found: unknown[] = [];
      for await (const { json } of client.readEvents({ callId, runId, stageKeys }, metadata))
        found.push(JSON.parse(json));
      return found;
    };
    expect(await read('sink', 'earlier')).toEqual(events);
    expect(await read('sink', 'gone')).toEqual([]);
    expect(await read('sink', 'gone', ['a', 'b'])).toMatchObject([{ data: { stageKeys: ['a', 'b'] } }]);
    await expect(read('grader', 'earlier')).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  });

  it('settles a reservation once', async () => {
    const reserved = await ask(client.reserveSpending, { callId: 'grader', source: 'oracle', usd: 1, seconds: 5 });
    const { reservationId } = reserved as { reservationId: string };
    const settled = { callId: 'grader', reservationId, usd: 1, inputTokens: undefined, outputTokens: undefined };
    expect(await ask(client.settleSpending, settled)).toEqual({});
    expect(await ask(client.settleSpending, settled)).toEqual(['NOT_FOUND', 'reservation_unknown']);
    for (const wrong of [
      { usd: -1, seconds: 5 },
      { usd: 1, seconds: Number.NaN },
    ]) {
      const request = { callId: 'grader', source: 'oracle', ...wrong };
      expect(await ask(client.reserveSpending, request)).toEqual(['INVALID_ARGUMENT', 'request_invalid']);
    }
  });

  it('passes on the questions of answers that are to be graded, where they are known', async () => {
    let given: unknown;
    const grade = async (items: unknown) => {
      given = items;
      return [];
    };
    const grader = async () => ({ grade });
    const context = { signal: stopping.signal, grader } as unknown as HostedContext;
    const spending = new HostedSpending({ isLimited: false, reserve: async () => ({ settle() {} }) });
    host.serve({ id: 'grades', log, spending, stage: new HostedStage(context, folder, []) });
    const asked = { id: '1', gold: '4', answer: '4', question: '2 + 2' };
    const unasked = { id: '2', gold: '4', answer: '5', question: undefined };
    const request = { callId: 'grades', uses: 'a/b', options: {}, items: [asked, unasked] };
    expect(await ask(client.gradeAnswers, request)).toEqual({ grades: [] });
    expect(given).toStrictEqual([asked, { id: '2', gold: '4', answer: '5' }]);
  });

  it('passes on why what was asked failed, and that the stage is to stop', async () => {
    const grading = { callId: 'stage', uses: 'a/b', options: {}, items: [] };
    expect(await ask(client.gradeAnswers, grading)).toEqual(['ABORTED', '']);
    stopping.abort(new UserError('interrupted', 'Stopped.', { kind: 'interrupted' }));
    expect(await ask(client.gradeAnswers, grading)).toEqual(['CANCELLED', 'interrupted']);
  });

  it('generates only with a trainer that the options name, and a model', async () => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${host.token}`);
    const generate = (modelUri: string) =>
      new Promise((resolve) => {
        const sampling = {
          temperature: 0,
          maxAnswerTokens: 4,
          stop: [],
          seed: 0n,
          samples: 1,
          topP: undefined,
          topK: undefined,
        };
        const asked = { callId: 'stage', trainer: 'other', modelUri, prompts: [], sampling, policies: [] };
        const unset = {
          thinkingFormat: undefined,
          maxBatchSize: undefined,
          precision: Precision.PRECISION_UNSPECIFIED,
        };
        const call = client.generate({ ...asked, ...unset }, metadata);
        call.on('error', (error: ServiceError) => resolve([status[error.code], error.details]));
        call.resume();
      });
    expect(await generate(model.uri)).toEqual(['PERMISSION_DENIED', 'It asked for other.']);
    expect(await generate(dataset.uri)).toEqual(['INVALID_ARGUMENT', `${dataset.uri} is a dataset, not a model.`]);
  });
});
