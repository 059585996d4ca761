import { type handleUnaryCall, Metadata, type ServerWritableStream, type StatusObject, status } from '@grpc/grpc-js';
import type { Artifact, TableArtifact } from '../../artifacts/artifact.js';
import { isUserError, UserError } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { ArtifactType as ArtifactTypeCode } from '../../generated/simmer/plugin/v1/artifact.js';
import type {
  CommitModelRequest,
  CommitTableRequest,
  ExportRequest,
  GenerateRequest,
  GenerateResponse,
  GradeAnswersRequest,
  HostServiceServer,
  InspectRequest,
  ReadEventsResponse,
  SettleSpendingRequest,
  TrainRequest,
} from '../../generated/simmer/plugin/v1/host.js';
import type { InspectedRow } from '../../generated/simmer/trainer/v1/trainer.js';
import { present } from '../../present.js';
import { toHyperparameters } from '../../trainer/requests-from-wire.js';
import type { TrainingRequest } from '../../trainer/trainer.js';
import { fileFormats, precisions } from '../../trainer/wire-enums.js';
import type { Spent } from '../spending.js';
import { fromGenerationEvent, toGenerationRequest } from './generation-wire.js';
import { type HostedCall, type HostedSpending, type HostedStage, notAllowed, sayAs } from './hosted-call.js';
import { fromPaidEstimate, fromWorkEstimate, toTrainerJob } from './planning-wire.js';
import { fromTrainerDescription } from './trainer-wire.js';
import { fromArtifact, fromGrade, toArtifactType, toColumns, toStageEvent } from './wire.js';

/** The calls of a plugin that run now, by their ids. */
type HostedCalls = ReadonlyMap<string, HostedCall>;

/** simmer.plugin.v1.HostService, over the calls that run. */
export function hostService(calls: HostedCalls): HostServiceServer {
  const callOf = (callId: string): HostedCall => {
    const call = calls.get(callId);
    if (call !== undefined) return call;
    throw new UserError('call_unknown', `There is no running call ${JSON.stringify(callId)}.`, { kind: 'runFailed' });
  };
  const stageOf = (callId: string): HostedStage => {
    const { stage } = callOf(callId);
    if (stage === undefined) throw notAllowed('Only a stage may ask for this.');
    stage.context.signal.throwIfAborted();
    return stage;
  };
  const spendingOf = (callId: string): HostedSpending => {
    const { spending } = callOf(callId);
    if (spending === undefined) throw notAllowed('Only a stage or a grader may spend.');
    return spending;
  };
  const estimateOf = (callId: string) => {
    const { estimate } = callOf(callId);
    if (estimate === undefined) throw notAllowed('Only an estimate may ask for this.');
    return estimate;
  };
  return {
    openArtifact: unary(async ({ callId, uri }) => {
      const { stage, openArtifact } = callOf(callId);
      if (stage !== undefined) return { artifact: fromArtifact(stage.artifact(uri)) };
      if (openArtifact === undefined) throw notAllowed('Only a stage or a sink may open artifacts.');
      return { artifact: fromArtifact(await openArtifact(uri)) };
    }),
    readEvents: (call) =>
      void stream(call, () => {
        const { callId, runId, stageKeys } = call.request;
        const { eventsOf } = callOf(callId);
        if (eventsOf === undefined) throw notAllowed('Only a sink may ask for this.');
        return readEvents(stageKeys.length === 0 ? eventsOf(runId) : eventsOf(runId, stageKeys));
      }),
    openKeptFolder: unary(async ({ callId, of = {} }) => {
      const call = callOf(callId);
      return { folder: await (call.keptFolder?.(of) ?? stageOf(callId).context.keptFolder(of)) };
    }),
    describeTrainer: unary(async ({ callId, trainer }) => {
      const { context } = stageOf(callId);
      return fromTrainerDescription(await (await context.trainer(trainer)).describe());
    }),
    commitTable: unary(async (request) => committed(stageOf(request.callId), commitTable, request)),
    commitReport: unary(async ({ callId, json, metadata }) => {
      const stage = stageOf(callId);
      const artifact = await stage.context.artifacts.writeReport(parseJson(json), metadata);
      return { artifact: fromArtifact(stage.add(artifact)) };
    }),
    commitModel: unary(async (request) => committed(stageOf(request.callId), commitModel, request)),
    generate: (call) => void stream(call, (signal) => generate(stageOf(call.request.callId), call.request, signal)),
    train: unary(async (request) => train(stageOf(request.callId), request)),
    export: unary(async (request) => ({ model: fromArtifact(await exportModel(stageOf(request.callId), request)) })),
    inspect: unary(async (request) => ({ rows: await inspect(stageOf(request.callId), request) })),
    estimateJob: unary(async ({ callId, trainer, job }) => {
      return { estimate: fromWorkEstimate(await estimateOf(callId).trainer(trainer)(toTrainerJob(job))) };
    }),
    estimateGrading: unary(async ({ callId, uses, options = {}, answers }) => {
      const count = answers === undefined ? undefined : Number(answers);
      const estimate = await estimateOf(callId).grader({ uses, with: options }, count);
      return { estimate: estimate && fromPaidEstimate(estimate) };
    }),
    findKeptFolders: unary(async ({ callId, of = {} }) => {
      const { own, others } = await estimateOf(callId).kept(of);
      return { own, others: [...others] };
    }),
    gradeAnswers: unary(async (request) => ({ grades: await gradeAnswers(stageOf(request.callId), request) })),
    emitEvents: unary(async ({ callId, events }) => {
      const call = callOf(callId);
      for (const event of events.map(toStageEvent)) await sayAs(call, event);
      return {};
    }),
    reserveSpending: unary(async ({ callId, source, usd, seconds }) => {
      requireAmount('Spending', 'dollars', usd);
      requireAmount('What a request may take', 'seconds', seconds);
      return { reservationId: await spendingOf(callId).reserve({ source, usd, ...present({ seconds }) }) };
    }),
    settleSpending: unary(async ({ callId, reservationId, ...spent }) => {
      spendingOf(callId).settle(reservationId, toSpent(spent));
      return {};
    }),
  };
}

async function committed<R>(
  stage: HostedStage,
  commit: (stage: HostedStage, request: R) => Promise<Artifact | TableArtifact>,
  request: R,
) {
  return { artifact: fromArtifact(stage.add(await commit(stage, request))) };
}

async function commitTable(stage: HostedStage, request: CommitTableRequest): Promise<TableArtifact> {
  const file = stage.ownPath(request.parquetFile, 'temporary or scratch');
  const type = toArtifactType(request.type);
  if (type !== 'dataset' && type !== 'generations') {
    throw new UserError(
      'request_invalid',
      `A table is a dataset or generations, not ${ArtifactTypeCode[request.type]}.`,
    );
  }
  // Loaded here, since DuckDB takes longer to load than most commands run.
  const { foreignColumns, readForeignTable } = await import('../../artifacts/table-file.js');
  const columns = request.columns.length > 0 ? toColumns(request.columns) : await foreignColumns(file);
  const { artifacts } = stage.context;
  const options = { columns, ...(request.metadata === undefined ? {} : { metadata: request.metadata }) };
  const rows = readForeignTable(file, columns);
  return type === 'dataset' ? artifacts.writeDataset(rows, options) : artifacts.writeGenerations(rows, options);
}

function commitModel(stage: HostedStage, { folder, byReference, metadata }: CommitModelRequest): Promise<Artifact> {
  const { artifacts } = stage.context;
  return byReference
    ? artifacts.referenceModel(folder, metadata)
    : artifacts.commitModel(stage.ownPath(folder, 'temporary'), metadata);
}

async function train(stage: HostedStage, request: TrainRequest) {
  const { evaluationUri } = request;
  const asked: TrainingRequest = {
    ...trainingOf(stage, request, 'Train'),
    ...(evaluationUri === undefined ? {} : { evaluationData: tableOf(stage, evaluationUri) }),
  };
  const trainer = await stage.context.trainer(request.trainer);
  const { modelFolder, finalLoss, stoppedEarly = false, ...more } = await trainer.train(asked);
  const model = stage.add(await stage.context.artifacts.commitModel(modelFolder, request.metadata));
  return { ...more, model: fromArtifact(model), finalLoss: finalLoss ?? undefined, stoppedEarly };
}

async function inspect(stage: HostedStage, request: InspectRequest): Promise<InspectedRow[]> {
  const asked = trainingOf(stage, request, 'Inspect');
  const trainer = await stage.context.trainer(request.trainer);
  const rows = await trainer.inspect(asked, request.rows);
  return rows.map(({ row, tokenIds, tokens, trained, truncated }) => {
    return { row, tokenIds: [...tokenIds], tokens: [...tokens], trained: [...trained], truncated };
  });
}

function trainingOf(
  stage: HostedStage,
  { modelUri, datasetUri, hyperparameters, extensions }: TrainRequest | InspectRequest,
  call: string,
): TrainingRequest {
  if (hyperparameters === undefined) throw new UserError('request_invalid', `${call} needs \`hyperparameters\`.`);
  return {
    model: folderOf(stage, modelUri),
    trainingData: tableOf(stage, datasetUri),
    hyperparameters: toHyperparameters(hyperparameters),
    ...(extensions === undefined ? {} : { extensions }),
  };
}

async function exportModel(stage: HostedStage, request: ExportRequest): Promise<Artifact> {
  const { adapterUri } = request;
  const adapter = adapterUri === undefined ? {} : { adapterFolder: folderOf(stage, adapterUri).folder };
  const model = { ...folderOf(stage, request.modelUri), ...adapter };
  const trainer = await stage.context.trainer(request.trainer);
  const outputFolder = await stage.context.artifacts.temporaryFolder();
  const precision = precisions.name(request.precision);
  const format = fileFormats.name(request.format) ?? 'huggingFace';
  await trainer.export({ model, outputFolder, format, ...(precision === undefined ? {} : { precision }) });
  return stage.add(await stage.context.artifacts.commitModel(outputFolder, request.metadata));
}

function folderOf(stage: HostedStage, uri: string): { readonly kind: 'folder'; readonly folder: string } {
  const { type, folder } = stage.artifact(uri);
  if (type !== 'model') throw new UserError('request_invalid', `${uri} is a ${type}, not a model.`);
  return { kind: 'folder', folder };
}

function tableOf(stage: HostedStage, uri: string): string {
  const artifact = stage.artifact(uri);
  if (artifact.type !== 'dataset')
    throw new UserError('request_invalid', `${uri} is a ${artifact.type}, not a dataset.`);
  return artifact.path('data.parquet');
}

async function* generate(
  stage: HostedStage,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerateResponse> {
  const asked = toGenerationRequest(request, folderOf(stage, request.modelUri));
  const trainer = await stage.context.trainer(request.trainer);
  for await (const event of trainer.generate(asked)) {
    if (signal.aborted) return;
    yield fromGenerationEvent(event);
  }
}

async function* readEvents(events: AsyncIterable<Event>): AsyncGenerator<ReadEventsResponse> {
  for await (const event of events) yield { json: JSON.stringify(event) };
}

async function gradeAnswers(stage: HostedStage, { uses, options, items }: GradeAnswersRequest) {
  const grader = await stage.context.grader(uses, options ?? {});
  const asked = items.map((item) => present(item));
  return (await grader.grade(asked, stage.context.signal)).map(fromGrade);
}

function toSpent({ usd, inputTokens, outputTokens }: Omit<SettleSpendingRequest, 'callId' | 'reservationId'>): Spent {
  requireAmount('Spending', 'dollars', usd);
  return {
    ...(usd === undefined ? {} : { usd }),
    ...(inputTokens === undefined ? {} : { inputTokens: Number(inputTokens) }),
    ...(outputTokens === undefined ? {} : { outputTokens: Number(outputTokens) }),
  };
}

function requireAmount(what: string, unit: string, amount: number | undefined): void {
  if (amount === undefined || (amount >= 0 && Number.isFinite(amount))) return;
  throw new UserError('request_invalid', `${what} is 0 ${unit} or more, not ${amount}.`, { kind: 'runFailed' });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError('request_invalid', `The report is not JSON: ${(error as Error).message}.`);
  }
}

function unary<Request, Response>(work: (request: Request) => Promise<Response>): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    work(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

/** Sends what is pulled, as fast as it is read; a call that was canceled pulls no more. */
async function stream<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  work: (signal: AbortSignal) => AsyncIterable<Response>,
): Promise<void> {
  const canceled = new AbortController();
  call.once('cancelled', () => canceled.abort());
  try {
    for await (const response of work(canceled.signal)) {
      if (canceled.signal.aborted) return;
      if (call.write(response)) continue;
      await drained(call, canceled.signal);
    }
    call.end();
  } catch (error) {
    call.emit('error', toStatus(error));
  }
}

/** Leaves no listener behind: a long answer waits thousands of times. */
function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve) => {
    const done = () => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done);
  });
}

const codes: Readonly<Record<string, status>> = {
  request_invalid: status.INVALID_ARGUMENT,
  invalid_table_file: status.INVALID_ARGUMENT,
  invalid_column_type: status.INVALID_ARGUMENT,
  invalid_columns: status.INVALID_ARGUMENT,
  invalid_spending: status.INVALID_ARGUMENT,
  path_not_allowed: status.INVALID_ARGUMENT,
  plugin_event_invalid: status.INVALID_ARGUMENT,
  call_unknown: status.NOT_FOUND,
  reservation_unknown: status.NOT_FOUND,
  artifact_missing: status.NOT_FOUND,
  not_allowed: status.PERMISSION_DENIED,
  trainer_not_declared: status.PERMISSION_DENIED,
  stage_event_not_allowed: status.PERMISSION_DENIED,
};

function toStatus(error: unknown): Partial<StatusObject> {
  const metadata = new Metadata();
  if (!isUserError(error)) {
    return { code: status.ABORTED, details: error instanceof Error ? error.message : String(error), metadata };
  }
  metadata.set('simmer-error-code', error.code);
  if (error.hint !== undefined) metadata.set('simmer-error-hint-bin', Buffer.from(error.hint));
  const code = error.kind === 'interrupted' ? status.CANCELLED : (codes[error.code] ?? status.ABORTED);
  return { code, details: error.message, metadata };
}
